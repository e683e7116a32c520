/** dispatcher: routes messages by number, submits them to the operators, retries, and publishes the outcomes. */

import { openGuard } from '../shared/auth.ts';
import { readSettings } from '../shared/config.ts';
import { kafkaSecurity, readCredentials } from '../shared/credentials.ts';
import type { ReceiptEvent } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
import { connectBilling } from '../shared/grpc.ts';
import { listen } from '../shared/http.ts';
import { newId } from '../shared/id.ts';
import { connectKafka } from '../shared/kafka.ts';
import { runMain, type Scope, waitFor } from '../shared/lifecycle.ts';
import { createLog, type Log } from '../shared/log.ts';
import { createMetrics } from '../shared/metrics.ts';
import { openPorted } from '../shared/ported.ts';
import { connected, connectRedis } from '../shared/redis.ts';
import { parseOperators } from '../shared/sms/operators.ts';
import { TOPICS } from '../shared/topics.ts';
import { watchFile } from '../shared/watched-file.ts';
import { ACCESS } from './access.ts';
import { type Config, settings } from './config.ts';
import { connectOperator } from './connect.ts';
import type { OperatorReceipt } from './connector.ts';
import { type Dispatch, openDispatch } from './dispatch.ts';
import { dispatcherDoor } from './http.ts';
import { createIntake } from './intake.ts';
import { openLeases } from './lease.ts';
import { measureLines } from './measure.ts';
import { CLAIM_GOOD_MS } from './pump.ts';
import { openRecords } from './records.ts';
import { submitMaxMs } from './timing.ts';

export async function start(config: Config, scope: Scope, log: Log) {
  const waitMs = config.DEPENDENCY_WAIT_S * 1_000;
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

  const kafka = connectKafka({
    brokers: config.KAFKA_BROKERS.split(','),
    clientId: 'jsms-dispatcher',
    log,
    sessionMs: config.KAFKA_SESSION_MS,
    security: kafkaSecurity(config, credentials.ca),
  });
  scope.defer('kafka', () => kafka.close());
  const topics = { replication: config.KAFKA_REPLICATION, retentionMs: config.KAFKA_RETENTION_DAYS * 86_400_000 };
  await waitFor(
    () => kafka.ensureTopics(topics),
    waitMs,
    `Kafka does not answer at ${config.KAFKA_BROKERS}; \`bun run infra\` starts one`,
  );
  const producer = await kafka.producer();
  scope.defer('producer', () => producer.close());
  const redis = connectRedis(config.REDIS_URL, log, credentials.ca);
  scope.defer('redis', () => redis.disconnect());
  await waitFor(
    () => connected(redis),
    waitMs,
    `Redis does not answer at ${new URL(config.REDIS_URL).host}; \`bun run infra\` starts one`,
  );
  const ported = await openPorted(redis, log);
  scope.defer('ported', () => ported.close());
  const billing = connectBilling(config.BILLING_GRPC_URL, credentials);
  scope.defer('billing', () => billing.close());
  await waitFor(
    () => billing.ready(2_000),
    waitMs,
    `billing does not answer at ${config.BILLING_GRPC_URL}; start it with \`bun run index.ts\` in billing/`,
  );

  const records = openRecords(billing, newId(), () => CLAIM_GOOD_MS + submitMaxMs(operators.value) + 5_000, log);
  scope.defer('records', () => records.close());
  const onReceipt = (operator: string, receipt: OperatorReceipt): Promise<void> => {
    const event: ReceiptEvent = {
      kind: 'receipt',
      operator,
      operator_id: receipt.operatorId,
      message_id: receipt.messageId,
      phone: receipt.phone,
      status: receipt.status,
      error: receipt.error,
      at: receipt.at,
    };
    failpoint('dispatcher.receipt_before_produce');
    return producer.send({ topic: TOPICS.status, value: JSON.stringify(event) });
  };
  const submits = metrics.counter('submits_total', 'submits by operator, lane and outcome', [
    'operator',
    'lane',
    'outcome',
  ]);
  const seconds = metrics.histogram('submit_seconds', 'time of a submit by operator', ['operator']);
  const poison = metrics.counter('poison_records_total', 'Kafka records that are no messages, passed by', ['topic']);
  const moved = metrics.counter('moved_total', 'messages that another operator than their own was given', [
    'from',
    'to',
    'why',
  ]);
  const opened = openDispatch(
    {
      records,
      producer,
      connect: connectOperator,
      leases: openLeases(redis, log),
      ported,
      learnedForMs: config.PORTED_LEARNED_DAYS * 86_400_000,
      queueMax: config.QUEUE_MAX,
      onReceipt,
      log,
      early: (work, ms) => intake.rooms.addEarly(work, ms),
      onDrained: (queue) => intake.drained(queue),
      onMoved: (from, to, why) => moved.inc({ from, to, why }),
      onSubmitted: (operator, lane, { kind }, took) => {
        submits.inc({ operator, lane, outcome: kind });
        seconds.observe({ operator }, took);
      },
    },
    operators.value,
  );
  dispatch = opened;
  const intake = createIntake({
    kafka,
    route: opened.route,
    enter: opened.enter,
    brims: opened.brims,
    onTaken: opened.wake,
    log,
    onPoison: (topic, partition, offset) => {
      poison.inc({ topic });
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
