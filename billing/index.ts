/** billing: prepaid balances in Redis, one record per message, and the sweeper that ends what nobody ends. */

import { openGuard } from '../shared/auth.ts';
import { readSettings } from '../shared/config.ts';
import { internalFetch, readCredentials } from '../shared/credentials.ts';
import { serveBilling } from '../shared/grpc.ts';
import { listen } from '../shared/http.ts';
import { newId } from '../shared/id.ts';
import { runMain, type Scope } from '../shared/lifecycle.ts';
import { createLog, type Log } from '../shared/log.ts';
import { createMetrics } from '../shared/metrics.ts';
import { openKafka, openProducer, openRedis } from '../shared/open.ts';
import { requireDurable } from '../shared/redis.ts';
import { ACCESS } from './access.ts';
import { askReport } from './accounts.ts';
import { type Config, settings } from './config.ts';
import { openGate } from './gate.ts';
import { billingHandlers } from './grpc.ts';
import { billingDoor } from './http.ts';
import { loadScripts, TIMES } from './scripts.ts';
import { createShards, requireShards } from './shard.ts';
import { ledgerPublisher, startSweeper } from './sweeper.ts';

export async function start(config: Config, scope: Scope, log: Log) {
  const metrics = createMetrics('billing');
  const credentials = readCredentials(config);
  const opening = { config, credentials, scope, log };
  const shards = createShards(config.BILLING_SHARDS);
  const redis = await openRedis(opening, async (opened) => {
    await requireDurable(opened);
    await requireShards(opened, shards);
  });
  const kafka = await openKafka(opening, 'jsms-billing');
  const producer = await openProducer(opening, kafka);

  const scripts = loadScripts(redis, shards, { ...TIMES, retryWaitsMs: config.RETRY_WAITS_S });
  const limits = {
    outboxMax: config.OUTBOX_MAX,
    openMax: config.OPEN_MAX,
    memoryMaxBytes: config.REDIS_MEMORY_MAX_MB * 1_048_576,
  };
  const gate = openGate(redis, shards, limits, log);
  scope.defer('gate', () => gate.close());
  metrics.gauge('outbox_messages', 'accepted messages that Kafka has not confirmed', [], (gauge) =>
    gauge.set(gate.load().outbox),
  );
  metrics.gauge('inflight_messages', 'records of messages in flight', [], (gauge) => gauge.set(gate.load().inFlight));
  const swept = metrics.counter('swept_total', 'records that the sweeper published');
  const sweeper = startSweeper({
    redis,
    scripts,
    producer,
    owner: newId(),
    everyMs: config.SWEEP_EVERY_MS,
    log,
    onSwept: (count) => swept.inc(count),
  });
  scope.defer('sweeper', () => sweeper.close());

  const grpc = await serveBilling(
    billingHandlers({ scripts, refusal: gate.refusal }, redis, metrics),
    config.HOST,
    config.BILLING_GRPC_PORT,
    log,
    credentials,
  );
  scope.defer('grpc', () => grpc.close());
  const health = () => ({
    ready: !scope.closing && redis.status === 'ready',
    checks: { redis: redis.status === 'ready', open: !scope.closing },
  });
  const guard = openGuard(credentials, redis, { access: ACCESS, log, metrics });
  const call = internalFetch(credentials);
  const door = billingDoor(
    {
      service: 'billing',
      title: 'JSMS billing',
      description: 'Prepaid balances: top-ups, corrections, balances and the audit.',
      log,
      metrics,
      health,
      guard,
      secure: credentials.tls !== null,
    },
    { redis, scripts, publish: ledgerPublisher(redis, producer, log) },
    (userId) => askReport(call, config.REPORT_URL, userId),
  );
  const { tls } = credentials;
  const http = listen(door, config.HOST, config.BILLING_HTTP_PORT, 'BILLING_HTTP_PORT', { guard, tls });
  scope.defer('http', () => http.stop());
  log.info('ready', { http: http.port, grpc: grpc.port });
  return { httpPort: http.port, grpcPort: grpc.port };
}

if (import.meta.main) {
  const log = createLog('billing', (process.env.LOG_LEVEL as 'info') || 'info');
  await runMain(log, (scope) => start(readSettings(settings, process.env), scope, log));
}
