import { COMMON, integer, port, url, type Values } from '../shared/config.ts';
import { KAFKA_SETTINGS } from '../shared/credentials.ts';
import { SHARDS_DEFAULT, SHARDS_MAX } from './shard.ts';

export const settings = {
  ...COMMON,
  BILLING_HTTP_PORT: port(8081, 'HTTP: top-ups, balances, audit'),
  BILLING_GRPC_PORT: port(50051, 'gRPC: holds, claims, settlements'),
  REDIS_URL: url(
    'redis://127.0.0.1:6379',
    ['redis:', 'rediss:'],
    'Redis, where the balances and the records of messages in flight live; rediss:// for TLS, redis://user:password@host:port for a login',
  ),
  ...KAFKA_SETTINGS,
  REPORT_URL: url(
    'http://127.0.0.1:6070',
    ['http:', 'https:'],
    "the report service, which the audit asks for PostgreSQL's own account",
  ),
  RETRY_WAITS_S: {
    fallback: '5,30,120',
    about: 'waits before retry 1, 2 and 3, seconds by comma, growing; each up to a fifth longer by chance',
    parse: parseRetryWaits,
  },
  SWEEP_EVERY_MS: integer(1_000, 50, 60_000, 'how often deadlines are looked at, milliseconds'),
  BILLING_SHARDS: integer(
    SHARDS_DEFAULT,
    1,
    SHARDS_MAX,
    'parts that the accounts are kept in, each under a hash tag of its own: more than one only for a Redis Cluster. Fixed once balances were begun with it: another number is refused at the start',
  ),
  OUTBOX_MAX: integer(
    500_000,
    1,
    100_000_000,
    'accepted messages that Kafka does not have yet; past it holds are refused with 503',
  ),
  OPEN_MAX: integer(5_000_000, 1, 1_000_000_000, 'messages in flight; past it holds are refused with 503'),
  REDIS_MEMORY_MAX_MB: integer(
    0,
    0,
    10_000_000,
    'used memory of Redis past which holds are refused with 503; 0: three quarters of its maxmemory, where set',
  ),
} as const;

export type Config = Values<typeof settings>;

/** The waits before retries 1, 2 and 3 in milliseconds. Throws a sentence when they are not three growing numbers. */
export function parseRetryWaits(text: string): number[] {
  const waits = text
    .split(',')
    .map((part) => (/^[0-9]{1,5}(\.[0-9]{1,3})?$/.test(part.trim()) ? Math.round(Number(part) * 1_000) : Number.NaN));
  const growing = waits.every((wait, i) => wait > 0 && (i === 0 || wait >= (waits[i - 1] as number)));
  if (waits.length !== 3 || !growing)
    throw new Error('must be three growing numbers of seconds by comma, such as 5,30,120');
  return waits;
}
