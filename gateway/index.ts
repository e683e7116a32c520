/** gateway: takes, checks, prices and accepts messages; produces them to Kafka. */
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
import { TOPICS } from '../shared/topics.ts';
import type { AcceptDeps } from './accept.ts';
import { ACCESS } from './access.ts';
import { openAdmission } from './admission.ts';
import { type Config, settings } from './config.ts';
import { refuseEarly } from './early.ts';
import { openGates } from './gate.ts';
import { openHolds } from './holds.ts';
import { gatewayDoor } from './http.ts';
import { openProduction } from './production.ts';
import { startRelay } from './relay.ts';
import { watchRules } from './rules.ts';

export async function start(config: Config, scope: Scope, log: Log) {
  const metrics = createMetrics('gateway');
  const credentials = readCredentials(config);
  const opening = { config, credentials, scope, log };
  const redis = await openRedis(opening);
  const ported = await openPorted(redis, log);
  scope.defer('ported', () => ported.close());
  const rules = await watchRules(config, ported, log);
  scope.defer('rules', () => rules.close());
  const kafka = await openKafka(opening, 'jsms-gateway');
  const producer = await openProducer(opening, kafka);
  const billing = await openBilling(opening);

  const holds = openHolds(billing, log);
  scope.defer('holds', () => holds.close());
  const failures = metrics.counter('produce_failures_total', 'produces that failed and were left to the relay');
  const relayed = metrics.counter('relayed_total', 'messages that the relay produced');
  const productionDeps = {
    producer,
    slotOf: rules.slotOf,
    produced: holds.produced,
    onFailure: () => failures.inc(),
    log,
  };
  const relay = startRelay({
    ...productionDeps,
    billing,
    kafkaAnswers: () => kafka.endOffsets(TOPICS.normal),
    owner: newId(),
    onRelayed: (count) => relayed.inc(count),
  });
  scope.defer('relay', () => relay.close());
  scope.defer('productions', () => producer.idle());

  const deps: AcceptDeps = {
    rules: rules.current,
    holds,
    production: openProduction(productionDeps),
    backlog: new Map(),
    overflowAfter: rules.overflowAfter,
    batches: { inflight: 0, inflightMax: config.INFLIGHT_MAX },
  };
  const gates = openGates(config.HOLD_WAIT_MS, config.INFLIGHT_MAX);
  metrics.gauge('inflight_messages', 'messages on their way to a hold', [], (gauge) =>
    gauge.set(deps.batches.inflight + gates.express.waiting + gates.normal.waiting),
  );
  metrics.gauge('admission_limit_messages', 'messages that may wait for their hold at once', ['gate'], (gauge) => {
    for (const [name, gate] of Object.entries(gates)) gauge.set({ gate: name }, gate.limit);
  });
  const refused = metrics.counter('refused_early_total', 'sends refused for want of room before they were read whole');
  const health = async () => {
    const reached = await billing.ready(200).then(
      () => true,
      () => false,
    );
    return { ready: !scope.closing && reached, checks: { billing: reached, open: !scope.closing } };
  };
  const guard = openGuard(credentials, redis, { access: ACCESS, log, metrics });
  const rates = { account: config.RATE_LIMIT_ACCOUNT, key: config.RATE_LIMIT_KEY };
  const admit = openAdmission(guard, rates, redis, log);
  const door = gatewayDoor(
    {
      service: 'gateway',
      title: 'JSMS gateway',
      description: 'Send messages: one or a thousand at a time, priced and held before they are accepted.',
      log,
      metrics,
      health,
      guard,
      secure: credentials.tls !== null,
    },
    deps,
    billing,
    gates,
    admit,
  );
  const { tls } = credentials;
  const http = listen(door, config.HOST, config.GATEWAY_HTTP_PORT, 'GATEWAY_HTTP_PORT', {
    ...{ guard, tls },
    first: refuseEarly(gates, refused),
  });
  scope.defer('http', () => http.stop());
  log.info('ready', { http: http.port });
  return { httpPort: http.port };
}

if (import.meta.main) {
  const log = createLog('gateway', (process.env.LOG_LEVEL as 'info') || 'info');
  await runMain(log, (scope) => start(readSettings(settings, process.env), scope, log));
}
