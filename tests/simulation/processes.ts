/** The services' own code, wired as their index.ts does it, over the simulated Kafka, Redis, operators and calls. */
import { type AccountDeps, topUp } from '../../billing/accounts.ts';
import { billingHandlers } from '../../billing/grpc.ts';
import type { Scripts } from '../../billing/scripts.ts';
import { ledgerPublisher, startSweeper } from '../../billing/sweeper.ts';
import { openDispatch } from '../../dispatcher/dispatch.ts';
import { createIntake } from '../../dispatcher/intake.ts';
import { UNLIMITED } from '../../dispatcher/lease.ts';
import { CLAIM_GOOD_MS } from '../../dispatcher/pump.ts';
import { receiptPublisher } from '../../dispatcher/receipts.ts';
import { openRecords } from '../../dispatcher/records.ts';
import { submitMaxMs } from '../../dispatcher/timing.ts';
import type { AcceptDeps } from '../../gateway/accept.ts';
import { openHolds } from '../../gateway/holds.ts';
import type { Rules } from '../../gateway/message.ts';
import { openProduction } from '../../gateway/production.ts';
import { startRelay } from '../../gateway/relay.ts';
import type { BillingClient } from '../../shared/grpc.ts';
import { newId } from '../../shared/id.ts';
import { createLog } from '../../shared/log.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { PortedNumbers } from '../../shared/ported.ts';
import { type OperatorsFile, parseOperators } from '../../shared/sms/operators.ts';
import { parsePrices } from '../../shared/sms/price.ts';
import { buildRoutes, operatorOf } from '../../shared/sms/routes.ts';
import { parseSenders } from '../../shared/sms/sender.ts';
import { TOPICS } from '../../shared/topics.ts';
import { tagOf } from '../support/shards.ts';
import type { Bus } from './bus.ts';
import { type Billing, connectBilling } from './calls.ts';
import { IDLE_MS, type Process } from './clock.ts';
import type { Weather } from './faults.ts';
import type { Operators } from './operator.ts';
import type { SimulatedRedis } from './redis.ts';

const quiet = createLog('simulation', 'error', () => undefined);
const noCount = { inc: () => undefined, observe: () => undefined, labels: () => noCount };
const noMetrics = { counter: () => noCount, histogram: () => noCount, gauge: () => noCount } as unknown as Metrics;

export type Surroundings = {
  weather: Weather;
  redis: SimulatedRedis;
  bus: Bus;
  operators: Operators;
  billings: Billing[];
  scripts: Scripts;
  file: OperatorsFile;
  rules: Rules;
};

const HTTP = { url: 'http://127.0.0.1:1/', timeout_ms: 3_000 };

/** Three operators: one waits after an unknown, one echoes our ids in its receipts, one is sent again and removes doubles. */
export function parsed(unknownWaitS: number, fallback: boolean): Parsed {
  const known = `${unknownWaitS} ${fallback}`;
  const found = files.get(known) ?? parse(unknownWaitS, fallback);
  files.set(known, found);
  return found;
}

type Parsed = { file: OperatorsFile; rules: Rules };
const files = new Map<string, Parsed>();

function parse(unknownWaitS: number, fallback: boolean): Parsed {
  // Few faults open a breaker here: a history is short.
  const breaker = { failures: 2, open_s: 3, half_open_probes: 1 };
  const common = { connector: 'http', http: HTTP, unknown_wait_s: unknownWaitS, breaker };
  const operators = parseOperators({
    operators: {
      MCI: { ...common, prefixes: ['912'], on_unknown: 'wait', fallback: fallback ? ['MTN'] : [] },
      MTN: { ...common, prefixes: ['935'], on_unknown: { express: 'resend', normal: 'wait' } },
      Rightel: { ...common, prefixes: ['920'], on_unknown: 'resend', fallback: fallback ? ['MCI'] : [] },
    },
  });
  const prices = parsePrices({ default_per_page_rials: 10 });
  const senders = parseSenders({ default: '3000' });
  if (!operators.ok || !prices.ok || !senders.ok) throw new Error('the simulation does not know its own settings');
  const routes = buildRoutes(operators.file);
  const rules = {
    operatorOf: (phone: string) => operatorOf(routes, phone),
    prices: prices.prices,
    senders: senders.senders,
    pagesMax: 10,
    validS: { express: 20, normal: 60 },
  };
  return { file: operators.file, rules };
}

/** The accounts of every history, and their shards. */
export const USERS: readonly string[] = ['u1', 'u2'];
export const TAGS_USED: ReadonlySet<string> = new Set(USERS.map(tagOf));
/** The phone numbers of each operator. */
export const PHONES = ['09121234567', '09121234568', '09351234567', '09351234568', '09201234567', '09201234568'];

export type Gateway = { accept: AcceptDeps; close(): Promise<void> };

export function startGateway(around: Surroundings, process: Process): Gateway {
  const { bus, file, rules } = around;
  const billing = connectBilling(around, process);
  const producer = bus.producerOf(process);
  const holds = openHolds(billing, quiet);
  const slots = new Map(file.operators.map(({ name, slot }) => [name, slot]));
  const production = {
    producer,
    slotOf: (operator: string) => slots.get(operator) ?? 0,
    produced: holds.produced,
    onFailure: () => undefined,
    log: quiet,
  };
  const relay = startRelay({
    ...production,
    billing,
    kafkaAnswers: () => bus.clientOf(process).endOffsets(TOPICS.normal),
    owner: newId(),
    onRelayed: () => undefined,
  });
  const accept: AcceptDeps = {
    rules: () => rules,
    holds,
    production: openProduction(production),
    backlog: new Map(),
    overflowAfter: () => 3,
    batches: { inflight: 0, inflightMax: 1_000 },
  };
  return {
    accept,
    close: async () => {
      await producer.idle();
      await relay.close();
      await holds.close();
    },
  };
}

export type BillingProcess = Billing & {
  topUp: (userId: string, amount: number, key: string) => Promise<unknown>;
  close(): Promise<void>;
};

export function startBilling(around: Surroundings, process: Process): BillingProcess {
  const { bus, scripts } = around;
  const redis = around.redis.connect(process);
  const producer = bus.producerOf(process);
  const sweeper = startSweeper({
    redis,
    scripts,
    producer,
    owner: newId(),
    everyMs: IDLE_MS,
    log: quiet,
    onSwept: () => undefined,
  });
  const accounts: AccountDeps = { redis, scripts, publish: ledgerPublisher(redis, producer, quiet) };
  const handlers = billingHandlers({ scripts, refusal: () => null }, redis, noMetrics);
  const billing: BillingProcess = {
    process,
    handlers,
    topUp: (userId, amount, key) => topUp(accounts, { userId, kind: 'topup', amount, reason: null, key }),
    close: async () => {
      around.billings.splice(around.billings.indexOf(billing), 1);
      await sweeper.close();
    },
  };
  around.billings.push(billing);
  return billing;
}

/** Learned numbers in the process alone: their store is not what is simulated. */
function portedNumbers(): PortedNumbers {
  const learned = new Map<string, string>();
  return {
    operatorOf: (phone) => learned.get(phone),
    entry: () => undefined,
    set: async (phone, { operator }) => void learned.set(phone, operator),
    remove: async (phone) => learned.delete(phone),
    get size() {
      return learned.size;
    },
    close: () => undefined,
  };
}

export function startDispatcher(around: Surroundings, process: Process): { close(): Promise<void> } {
  const { bus, file, operators } = around;
  const billing: BillingClient = connectBilling(around, process);
  const producer = bus.producerOf(process);
  const records = openRecords(billing, newId(), () => CLAIM_GOOD_MS + submitMaxMs(file.operators) + 5_000, quiet);
  const dispatch = openDispatch(
    {
      records,
      producer,
      connect: (settings, events) => operators.connect(process, settings, events),
      leases: { open: () => UNLIMITED },
      ported: portedNumbers(),
      learnedForMs: 60_000,
      queueMax: 8,
      onDrained: (queue) => intake.drained(queue),
      onMoved: () => undefined,
      early: (work, ms) => intake.rooms.addEarly(work, ms),
      onReceipt: receiptPublisher(producer, () => file.operators),
      onSubmitted: () => undefined,
      log: quiet,
    },
    file,
  );
  const intake = createIntake({
    kafka: bus.clientOf(process),
    route: dispatch.route,
    enter: dispatch.enter,
    slotOfQueue: dispatch.slotOfQueue,
    brims: dispatch.brims,
    onTaken: dispatch.wake,
    onPoison: () => undefined,
    onCrash: () => undefined,
    log: quiet,
  });
  const started = intake.start();
  return {
    close: async () => {
      await started;
      intake.halt();
      await dispatch.close();
      await intake.close();
      await records.close();
    },
  };
}
