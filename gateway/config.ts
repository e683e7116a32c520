import { COMMON, integer, port, text, url, type Values } from '../shared/config.ts';
import { KAFKA_SETTINGS } from '../shared/credentials.ts';

export const settings = {
  ...COMMON,
  GATEWAY_HTTP_PORT: port(7070, 'HTTP: send, batch, preview, balance'),
  BILLING_GRPC_URL: text('127.0.0.1:50051', "billing's gRPC door, host:port; grpcs://host:port for TLS"),
  ...KAFKA_SETTINGS,
  REDIS_URL: url(
    'redis://127.0.0.1:6379',
    ['redis:', 'rediss:'],
    'Redis, for the ported numbers, the keys and the rates; rediss:// for TLS, redis://user:password@host:port for a login',
  ),
  OPERATORS_FILE: text('operator.json', 'operators, prefixes and ported numbers; relative to the repository'),
  PRICES_FILE: text('prices.json', 'prices per page; relative to the repository'),
  SENDERS_FILE: text('senders.json', 'line numbers by account; relative to the repository'),
  PAGES_MAX: integer(10, 1, 255, 'the most pages of one message'),
  INFLIGHT_MAX: integer(
    20_000,
    1,
    1_000_000,
    'messages on their way to a hold in this process, of each kind: single express, single normal, batches; past it they are refused with 503',
  ),
  HOLD_WAIT_MS: integer(
    250,
    10,
    10_000,
    'how long normal messages may wait for their hold when more comes than can be taken, milliseconds; what would wait longer is refused with 503',
  ),
  RATE_LIMIT_ACCOUNT: integer(0, 0, 1_000_000, 'messages a second of one account, past which 429 answers; 0: no limit'),
  RATE_LIMIT_KEY: integer(0, 0, 1_000_000, 'messages a second of one key, past which 429 answers; 0: no limit'),
  EXPRESS_VALID_S: integer(300, 1, 86_400, 'how long an express message may wait for its submit, seconds'),
  NORMAL_VALID_S: integer(86_400, 1, 259_200, 'how long a normal message may wait for its submit, seconds'),
  OVERFLOW_AFTER: integer(
    2_000,
    1,
    100_000_000,
    'undecided messages of one account past which its normal messages take the lane sms-bulk; at an operator with a tps already two seconds of it',
  ),
} as const;

export type Config = Values<typeof settings>;
