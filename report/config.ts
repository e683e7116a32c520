import { COMMON, ConfigError, integer, port, text, url, type Values } from '../shared/config.ts';
import { KAFKA_SETTINGS } from '../shared/credentials.ts';

export const settings = {
  ...COMMON,
  REPORT_HTTP_PORT: port(6070, 'HTTP: reports, summaries, statements, dead letters'),
  ...KAFKA_SETTINGS,
  KAFKA_SESSION_MS: integer(
    15_000,
    6_000,
    300_000,
    'a process that was killed keeps its partitions for so long, milliseconds; the broker has bounds of its own',
  ),
  DATABASE_URL: url(
    'postgres://jsms:jsms@127.0.0.1:5432/jsms',
    ['postgres:', 'postgresql:'],
    'PostgreSQL, where the reports live; ?sslmode=verify-full&sslrootcert=/path/ca.pem for TLS',
  ),
  REDIS_URL: url(
    'redis://127.0.0.1:6379',
    ['redis:', 'rediss:'],
    'Redis, for the keys; used only when AUTH is required; rediss:// for TLS, redis://user:password@host:port for a login',
  ),
  BILLING_GRPC_URL: text(
    '127.0.0.1:50051',
    "billing's gRPC door, which settles an unknown that a receipt proves; grpcs://host:port for TLS",
  ),
  GATEWAY_URL: url('http://127.0.0.1:7070', ['http:', 'https:'], 'the gateway, which sends what is replayed'),
  REPORT_RETENTION_DAYS: integer(90, 8, 3_650, 'days that messages are kept; their sums by day stay for ever'),
  DEAD_LETTER_RETENTION_DAYS: integer(30, 8, 3_650, 'days that dead letters are kept; not longer than messages'),
  RECEIPT_RETENTION_DAYS: integer(8, 1, 60, 'days that a delivery receipt may take to find its message'),
  REPORT_TIME_ZONE: text(
    'Asia/Tehran',
    'the days of summaries begin at midnight here; fixed once a database was begun with it',
  ),
} as const;

export type Config = Values<typeof settings>;

/** Rules between settings. Throws one ConfigError that names every one that does not hold. */
export function checkSettings(config: Config): Config {
  const problems: string[] = [];
  if (config.REPORT_RETENTION_DAYS <= config.KAFKA_RETENTION_DAYS)
    problems.push(
      'REPORT_RETENTION_DAYS: must exceed KAFKA_RETENTION_DAYS, or a topic that is read again meets days that were dropped',
    );
  if (config.DEAD_LETTER_RETENTION_DAYS <= config.KAFKA_RETENTION_DAYS)
    problems.push('DEAD_LETTER_RETENTION_DAYS: must exceed KAFKA_RETENTION_DAYS, or old dead letters come back');
  if (config.DEAD_LETTER_RETENTION_DAYS > config.REPORT_RETENTION_DAYS)
    problems.push('DEAD_LETTER_RETENTION_DAYS: a dead letter cannot outlive its message (REPORT_RETENTION_DAYS)');
  if (config.RECEIPT_RETENTION_DAYS > config.REPORT_RETENTION_DAYS)
    problems.push(
      'RECEIPT_RETENTION_DAYS: a receipt cannot wait longer than its message is kept (REPORT_RETENTION_DAYS), or it is taken up and put back again and again',
    );
  try {
    new Intl.DateTimeFormat('en', { timeZone: config.REPORT_TIME_ZONE });
  } catch {
    problems.push('REPORT_TIME_ZONE: must be a time zone such as Asia/Tehran or UTC');
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}
