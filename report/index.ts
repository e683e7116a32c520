/** report: what became of each message and what it cost, from Kafka into PostgreSQL. */
import { openGuard } from '../shared/auth.ts';
import { readSettings } from '../shared/config.ts';
import { internalFetch, readCredentials } from '../shared/credentials.ts';
import { listen } from '../shared/http.ts';
import { runMain, type Scope } from '../shared/lifecycle.ts';
import { createLog, type Log } from '../shared/log.ts';
import { createMetrics } from '../shared/metrics.ts';
import { openKafka, openRedis } from '../shared/open.ts';
import { connected } from '../shared/redis.ts';
import { ACCESS } from './access.ts';
import { type Config, checkSettings, settings } from './config.ts';
import { READ_TOPICS } from './consumer.ts';
import { resendThrough } from './gateway.ts';
import { reportDoor } from './http.ts';
import { reportMetrics } from './measure.ts';
import { openPostgres } from './open.ts';
import { createWatermark, watchLag } from './watermark.ts';
import { startWriting } from './writing.ts';

export async function start(config: Config, scope: Scope, log: Log) {
  checkSettings(config);
  const metrics = createMetrics('report');
  const measured = reportMetrics(metrics);
  const credentials = readCredentials(config);
  const { sql, store } = await openPostgres(config, scope);
  const opening = { config, credentials, scope, log };
  const kafka = await openKafka(opening, 'jsms-report');
  // Where the keys are, which nobody asks for unless keys are required.
  const redis = await openRedis(opening, credentials.required ? connected : async () => undefined);

  const consumer = await startWriting(config, { sql, kafka, credentials, measured, log }, scope);
  const watermark = createWatermark(kafka, READ_TOPICS, Date.now);
  const lag = watchLag(watermark, sql, measured.lag);
  scope.defer('lag', () => lag.close());

  const health = () => ({
    ready: !scope.closing && consumer.writing && consumer.reading,
    checks: { postgres: consumer.writing, kafka: consumer.reading, open: !scope.closing },
  });
  const description = 'What became of each message and what it cost: reports, summaries, statements, dead letters.';
  const guard = openGuard(credentials, redis, { access: ACCESS, log, metrics });
  const door = reportDoor(
    {
      service: 'report',
      title: 'JSMS report',
      description,
      log,
      metrics,
      health,
      guard,
      secure: credentials.tls !== null,
    },
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
