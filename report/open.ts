/** Waits, bounded, for the servers that the report needs, and brings them to what this version expects. */
import { ConfigError } from '../shared/config.ts';
import { type Credentials, kafkaSecurity } from '../shared/credentials.ts';
import { connectKafka, type KafkaClient } from '../shared/kafka.ts';
import { type Scope, waitFor } from '../shared/lifecycle.ts';
import type { Log } from '../shared/log.ts';
import { closePostgres, connectPostgres, type Sql } from '../shared/postgres.ts';
import { connected, connectRedis, type Redis } from '../shared/redis.ts';
import type { Config } from './config.ts';
import { migrate } from './migrate.ts';
import { openStore, type Store } from './store.ts';

/** True when PostgreSQL answered that it will not have this login: waiting does not help. Rethrows everything else. */
function refusedLogin(thrown: unknown): boolean {
  if ((thrown as { code?: string }).code?.startsWith('28')) return true;
  throw thrown;
}

/** @throws one sentence when PostgreSQL does not answer; it names the address, never the password */
export async function openPostgres(config: Config, scope: Scope): Promise<{ sql: Sql; store: Store }> {
  const { host, pathname } = new URL(config.DATABASE_URL);
  const sql = connectPostgres(config.DATABASE_URL, { name: 'jsms-report-write', max: 4, statementTimeoutMs: 60_000 });
  scope.defer('postgres', () => closePostgres(sql));
  const refused = await waitFor(
    () => sql`SELECT 1`.then(() => false, refusedLogin),
    config.DEPENDENCY_WAIT_S * 1_000,
    `PostgreSQL does not answer at ${host}${pathname}; \`bun run infra\` starts one`,
  );
  if (refused) throw new ConfigError([`DATABASE_URL: PostgreSQL at ${host} answers, but refuses its user or password`]);
  await migrate(config.DATABASE_URL, config.REPORT_TIME_ZONE);
  const store = openStore(config.DATABASE_URL, config.REPORT_TIME_ZONE);
  scope.defer('store', () => closePostgres(store.sql));
  return { sql, store };
}

/** Where the keys are; connected only where they are asked for. Throws one sentence when Redis does not answer. */
export async function openKeys(config: Config, credentials: Credentials, scope: Scope, log: Log): Promise<Redis> {
  const redis = connectRedis(config.REDIS_URL, log, credentials.ca);
  scope.defer('redis', () => redis.disconnect());
  if (credentials.required) {
    await waitFor(
      () => connected(redis),
      config.DEPENDENCY_WAIT_S * 1_000,
      `Redis does not answer at ${new URL(config.REDIS_URL).host}; \`bun run infra\` starts one`,
    );
  }
  return redis;
}

/** @throws one sentence when Kafka does not answer */
export async function openKafka(config: Config, { ca }: Credentials, scope: Scope, log: Log): Promise<KafkaClient> {
  const security = kafkaSecurity(config, ca);
  const kafka = connectKafka({
    brokers: config.KAFKA_BROKERS.split(','),
    clientId: 'jsms-report',
    log,
    security,
    sessionMs: config.KAFKA_SESSION_MS,
  });
  scope.defer('kafka', () => kafka.close());
  const topics = { replication: config.KAFKA_REPLICATION, retentionMs: config.KAFKA_RETENTION_DAYS * 86_400_000 };
  await waitFor(
    () => kafka.ensureTopics(topics),
    config.DEPENDENCY_WAIT_S * 1_000,
    `Kafka does not answer at ${config.KAFKA_BROKERS}; \`bun run infra\` starts one`,
  );
  return kafka;
}
