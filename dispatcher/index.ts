/** dispatcher: routes messages by number, submits them to the operators, retries, and publishes the outcomes. */

import { openGuard } from '../shared/auth.ts';
import { readSettings } from '../shared/config.ts';
import { readCredentials } from '../shared/credentials.ts';
import { listen } from '../shared/http.ts';
import { newId } from '../shared/id.ts';
import { runMain, type Scope } from '../shared/lifecycle.ts';
import { createLog, type Log } from '../shared/log.ts';
import { createMetrics } from '../shared/metrics.ts';
import { openBilling, openKafka, openProducer, openRedis } from '../shared/open.ts';
import { openPorted } from '../shared/ported.ts';
import { type OperatorSettings, parseOperators } from '../shared/sms/operators.ts';
import { watchFile } from '../shared/watched-file.ts';
import { ACCESS } from './access.ts';
import { linkLog } from './change-log.ts';
import { type Config, settings } from './config.ts';
import { connectOperator } from './connect.ts';
import { type Dispatch, openDispatch } from './dispatch.ts';
import { dispatcherDoor } from './http.ts';
import { createIntake } from './intake.ts';
import { openLeases } from './lease.ts';
import { dispatcherCounters, measureLines } from './measure.ts';
import { CLAIM_GOOD_MS } from './pump.ts';
import { receiptPublisher } from './receipts.ts';
import { openRecords } from './records.ts';
import { submitMaxMs } from './timing.ts';

export async function start(config: Config, scope: Scope, log: Log) {
  const metrics = createMetrics('dispatcher');
  const credentials = readCredentials(config);
  // The file may change before there is anything to reload.
  let dispatch: Dispatch | null = null;
  const operators = await watchFile(
    config.OPERATORS_FILE,
    (json) => {
      const parsed = parseOperators(json);
      return parsed.ok ? { ok: true, value: parsed.file } : parsed;
    },
    log,
    (file) => void dispatch?.reload(file),
  );
  scope.defer('operators', () => operators.close());

  const opening = { config, credentials, scope, log };
  const kafka = await openKafka(opening, 'jsms-dispatcher');
  const producer = await openProducer(opening, kafka);
  const redis = await openRedis(opening);
  const ported = await openPorted(redis, log);
  scope.defer('ported', () => ported.close());
  const billing = await openBilling(opening);

  /** Those of a file that was refused when it was applied are not. */
  const inForce = (): readonly OperatorSettings[] =>
    dispatch?.lines().map((line) => line.settings) ?? operators.value.operators;
  const records = openRecords(billing, newId(), () => CLAIM_GOOD_MS + submitMaxMs(inForce()) + 5_000, log);
  scope.defer('records', () => records.close());
  const onReceipt = receiptPublisher(producer, inForce);
  const counters = dispatcherCounters(metrics);
  const opened = openDispatch(
    {
      records,
      producer,
      connect: (settings, events) => connectOperator(settings, { ...events, onLink: linkLog(log, settings.name) }),
      leases: openLeases(redis, log),
      ported,
      learnedForMs: config.PORTED_LEARNED_DAYS * 86_400_000,
      queueMax: config.QUEUE_MAX,
      onReceipt,
      log,
      early: (work, ms) => intake.rooms.addEarly(work, ms),
      onDrained: (queue) => intake.drained(queue),
      onMoved: counters.moved,
      onSubmitted: counters.submitted,
    },
    operators.value,
  );
  dispatch = opened;
  const intake = createIntake({
    kafka,
    route: opened.route,
    enter: opened.enter,
    slotOfQueue: opened.slotOfQueue,
    brims: opened.brims,
    onTaken: opened.wake,
    log,
    onPoison: (topic, partition, offset) => {
      counters.poison(topic);
      log.warn('poison_record', { topic, partition, offset });
    },
    onCrash: (error) => scope.fail('a Kafka consumer crashed', error),
  });
  scope.defer('intake', () => intake.close());
  scope.defer('dispatch', () => opened.close());
  scope.defer('halt', () => intake.halt());
  measureLines(metrics, opened);
  await intake.start();

  const health = () => ({ ready: !scope.closing, checks: { open: !scope.closing } });
  const guard = openGuard(credentials, redis, { access: ACCESS, log, metrics });
  const door = dispatcherDoor(
    {
      service: 'dispatcher',
      title: 'JSMS dispatcher',
      description: 'The operators: their state, and receipts of those that speak HTTP.',
      log,
      metrics,
      health,
      guard,
      secure: credentials.tls !== null,
    },
    { dispatch: opened, onReceipt, ported, operators: () => operators.value },
  );
  const { tls } = credentials;
  const http = listen(door, config.HOST, config.DISPATCHER_HTTP_PORT, 'DISPATCHER_HTTP_PORT', { guard, tls });
  scope.defer('http', () => http.stop());
  log.info('ready', { http: http.port });
  return { httpPort: http.port };
}

if (import.meta.main) {
  const log = createLog('dispatcher', (process.env.LOG_LEVEL as 'info') || 'info');
  await runMain(log, (scope) => start(readSettings(settings, process.env), scope, log));
}
