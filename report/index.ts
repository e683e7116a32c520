/** report: what became of each message and what it cost, from Kafka into PostgreSQL. */
import { openGuard } from '../shared/auth.ts';
import { readSettings } from '../shared/config.ts';
import { internalFetch, readCredentials } from '../shared/credentials.ts';
import { connectBilling } from '../shared/grpc.ts';
import { listen } from '../shared/http.ts';
import { runMain, type Scope } from '../shared/lifecycle.ts';
import { createLog, type Log } from '../shared/log.ts';
import { createMetrics } from '../shared/metrics.ts';
import { ACCESS } from './access.ts';
import { type Config, checkSettings, settings } from './config.ts';
import { READ_TOPICS, startConsumer } from './consumer.ts';
import { resendThrough } from './gateway.ts';
import { reportDoor } from './http.ts';
import { reportMetrics } from './measure.ts';
import { openKafka, openKeys, openPostgres } from './open.ts';
import { createDays } from './partitions.ts';
import { startRetention } from './retention.ts';
import { watchUnknowns } from './unknowns.ts';
import { createWatermark, watchLag } from './watermark.ts';

export async function start(config: Config, scope: Scope, log: Log) {
  checkSettings(config);
  const timeZone = config.REPORT_TIME_ZONE;
  const now = Date.now;
  const metrics = createMetrics('report');
  const measured = reportMetrics(metrics);
  const credentials = readCredentials(config);
  const { sql, store } = await openPostgres(config, scope);
  const kafka = await openKafka(config, credentials, scope, log);
  const redis = await openKeys(config, credentials, scope, log);

  const days = createDays(sql, timeZone);
  const retention = {
    messagesDays: config.REPORT_RETENTION_DAYS,
    deadLetterDays: config.DEAD_LETTER_RETENTION_DAYS,
    receiptsDays: config.RECEIPT_RETENTION_DAYS,
  };
  const retaining = startRetention({ sql, days, timeZone, retention, now, onUnmatched: measured.unmatched, log });
  scope.defer('retention', () => retaining.close());
  const writer = { sql, days, timeZone, ...retention, now };
  const onCrash = (error: Error) => scope.fail('the Kafka consumer is gone', error);
  const consumer = await startConsumer({ kafka, writer, metrics: measured, log, onCrash });
  scope.defer('consumer', () => consumer.close());
  const billing = connectBilling(config.BILLING_GRPC_URL, credentials);
  scope.defer('billing', () => billing.close());
  const unknowns = watchUnknowns({ sql, billing, onSettled: measured.unknownsSettled, log });
  scope.defer('unknowns', () => unknowns.close());
  const watermark = createWatermark(kafka, READ_TOPICS, now);
  const lag = watchLag(watermark, sql, measured.lag);
  scope.defer('lag', () => lag.close());

  const health = () => ({
    ready: !scope.closing && consumer.writing,
    checks: { postgres: consumer.writing, open: !scope.closing },
  });
  const description = 'What became of each message and what it cost: reports, summaries, statements, dead letters.';
  const guard = openGuard(credentials, redis, { access: ACCESS, log, metrics });
  const door = reportDoor(
    { service: 'report', title: 'JSMS report', description, log, metrics, health, guard },
    { store, watermark, resend: resendThrough(config.GATEWAY_URL, internalFetch(credentials)) },
  );
  const { tls } = credentials;
  const http = listen(door, config.HOST, config.REPORT_HTTP_PORT, 'REPORT_HTTP_PORT', { guard, tls });
  scope.defer('http', () => http.stop());
  log.info('ready', { http: http.port });
  return { httpPort: http.port };
}

if (import.meta.main) {
  const log = createLog('report', (process.env.LOG_LEVEL as 'info') || 'info');
  await runMain(log, (scope) => start(readSettings(settings, process.env), scope, log));
}
