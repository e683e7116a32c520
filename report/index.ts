/** report: what became of each message, and what it cost, in PostgreSQL. */
import { readSettings } from '../shared/config.ts';
import { listen } from '../shared/http.ts';
import { connectKafka } from '../shared/kafka.ts';
import { runMain, type Scope, waitFor } from '../shared/lifecycle.ts';
import { createLog, type Log } from '../shared/log.ts';
import { createMetrics } from '../shared/metrics.ts';
import { closePostgres, connectPostgres } from '../shared/postgres.ts';
import { type Config, checkSettings, settings } from './config.ts';
import { startConsumer } from './consumer.ts';
import { reportDoor } from './http.ts';
import { reportMetrics } from './measure.ts';
import { migrate } from './migrate.ts';
import { createDays } from './partitions.ts';
import { openStore } from './store.ts';

export async function start(config: Config, scope: Scope, log: Log) {
  checkSettings(config);
  const waitMs = config.DEPENDENCY_WAIT_S * 1_000;
  const timeZone = config.REPORT_TIME_ZONE;
  const metrics = createMetrics('report');

  const sql = connectPostgres(config.DATABASE_URL, { name: 'jsms-report-write', max: 4, statementTimeoutMs: 60_000 });
  scope.defer('postgres', () => closePostgres(sql));
  await waitFor(
    () => sql`SELECT 1`,
    waitMs,
    `PostgreSQL does not answer at ${new URL(config.DATABASE_URL).host}; \`bun run infra\` starts one`,
  );
  await migrate(config.DATABASE_URL, timeZone);
  const kafka = connectKafka({ brokers: config.KAFKA_BROKERS.split(','), clientId: 'jsms-report', log });
  scope.defer('kafka', () => kafka.close());
  const topics = { replication: config.KAFKA_REPLICATION, retentionMs: config.KAFKA_RETENTION_DAYS * 86_400_000 };
  await waitFor(
    () => kafka.ensureTopics(topics),
    waitMs,
    `Kafka does not answer at ${config.KAFKA_BROKERS}; \`bun run infra\` starts one`,
  );

  const store = openStore(config.DATABASE_URL, timeZone);
  scope.defer('store', () => closePostgres(store.sql));
  const measured = reportMetrics(metrics, () => new Map());
  const consumer = await startConsumer({
    kafka,
    writer: {
      sql,
      days: createDays(sql, timeZone),
      timeZone,
      receiptsDays: 8,
      deadLetterDays: config.DEAD_LETTER_RETENTION_DAYS,
      now: Date.now,
    },
    metrics: measured,
    log,
    onCrash: (error) => scope.fail('the Kafka consumer is gone', error),
  });
  scope.defer('consumer', () => consumer.close());
  const health = () => ({ ready: !scope.closing && consumer.writing, checks: { postgres: consumer.writing } });
  const door = reportDoor(
    { service: 'report', title: 'JSMS report', description: 'Reports.', log, metrics, health },
    { store },
  );
  const http = listen(door, config.HOST, config.REPORT_HTTP_PORT, 'REPORT_HTTP_PORT');
  scope.defer('http', () => http.stop());
  log.info('ready', { http: http.port });
  return { httpPort: http.port };
}

if (import.meta.main) {
  const log = createLog('report', (process.env.LOG_LEVEL as 'info') || 'info');
  await runMain(log, (scope) => start(readSettings(settings, process.env), scope, log));
}
