import { COMMON, integer, port, text, url, type Values } from '../shared/config.ts';
import { KAFKA_SETTINGS } from '../shared/credentials.ts';

export const settings = {
  ...COMMON,
  DISPATCHER_HTTP_PORT: port(9070, 'HTTP: operators, health, metrics'),
  BILLING_GRPC_URL: text('127.0.0.1:50051', "billing's gRPC door, host:port; grpcs://host:port for TLS"),
  ...KAFKA_SETTINGS,
  KAFKA_SESSION_MS: integer(
    15_000,
    6_000,
    300_000,
    'a process that was killed keeps its partitions for so long, milliseconds; the broker has bounds of its own',
  ),
  REDIS_URL: url(
    'redis://127.0.0.1:6379',
    ['redis:', 'rediss:'],
    'Redis, for the ported numbers, the keys and the rates that dispatchers share; rediss:// for TLS, redis://user:password@host:port for a login',
  ),
  PORTED_LEARNED_DAYS: integer(
    30,
    1,
    3650,
    "how long a ported number that an operator's refusal taught is remembered, days",
  ),
  OPERATORS_FILE: text('operator.json', 'operators, prefixes and ported numbers; relative to the repository'),
  QUEUE_MAX: integer(
    2_000,
    10,
    1_000_000,
    'messages of one operator and lane in this process past which their partitions pause',
  ),
} as const;

export type Config = Values<typeof settings>;
