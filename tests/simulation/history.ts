/**
 * One history by its seed: clients, top-ups and messages; the services' own code over a world that goes wrong in its own way;
 * then calm, until everything has ended; then a look at what came of it.
 */

import { type Scripts, TIMES } from '../../billing/scripts.ts';
import { tagOf } from '../../billing/shard.ts';
import { CLAIM_GOOD_MS } from '../../dispatcher/pump.ts';
import { accept, acceptBatch, type ItemResult } from '../../gateway/accept.ts';
import type { SendItem } from '../../gateway/message.ts';
import * as realFold from '../../report/fold.ts';
import { toAppError } from '../../shared/error.ts';
import { newId } from '../../shared/id.ts';
import { TOPICS } from '../../shared/topics.ts';
import { type Bus, createBus } from './bus.ts';
import { connectBilling } from './calls.ts';
import { after, beginWorld, drained, IDLE_MS, type Process, runUntil, turnCount, WORLD, worldNow } from './clock.ts';
import { drawFaults, NO_FAULTS, type Weather } from './faults.ts';
import { createOperators } from './operator.ts';
import {
  type BillingProcess,
  type Gateway,
  PHONES,
  parsed,
  type Surroundings,
  startBilling,
  startDispatcher,
  startGateway,
} from './processes.ts';
import { createRandom, type Random } from './random.ts';
import { compileScripts, createRedis } from './redis.ts';
import { type Fold, newTable, startReport, type Table } from './report.ts';
import { type Evidence, faultsOf, HARMLESS, type Known, NOTHING_KNOWN, reachedBy, type Told } from './verdict.ts';
import { createWitness, isOpen, type Witness } from './witness.ts';

/** A bug that is put in on purpose: what it does to a script's text, or to a function of the report's fold. */
export type Plant = { script?: (name: string, lua: string) => string; fold?: Partial<Fold> };

export type Settings = {
  plant?: Plant;
  /** Counts what is known and open as broken, too: verdict.ts says what that is. */
  strict?: boolean;
};

export type Outcome = {
  seed: number;
  messages: number;
  submits: number;
  turns: number;
  /** What it came to, counted by kind. */
  reached: Record<string, number>;
  /** What broke, a sentence each. */
  faults: string[];
};

/** Everything must have ended so long after the last validity and the last fault. */
const BOUND_MS = 120_000;
const CLIENT_TIMEOUT_MS = 9_000;
/** So long after the calm began, what was slow before it has come. */
const LATE_MS = 15_000;
/** Clients send in this time, and try again so often. */
const SENDS_MS = 20_000;
const TRIES_MAX = 2;
const CLIENTS_MS = SENDS_MS + (TRIES_MAX + 1) * (CLIENT_TIMEOUT_MS + 3_000);

type Kind = 'gateway' | 'billing' | 'dispatcher' | 'report';
type Running = {
  kind: Kind;
  process: Process;
  close: () => Promise<void>;
  gateway?: Gateway;
  billing?: BillingProcess;
};

type World = {
  random: Random;
  weather: Weather;
  around: Surroundings;
  bus: Bus;
  witness: Witness;
  table: Table;
  fold: Fold;
  running: Running[];
  beganAt: number;
  calmAt: number;
  known: Known;
  told: Told[];
  toppedUp: Map<string, { sure: number; perhaps: number }>;
  /** Strikes so far, by kind. */
  struck: Record<string, number>;
  /** Processes so far. */
  started: number;
};

const USERS = ['u1', 'u2'];
const TAGS_USED: ReadonlySet<string> = new Set(USERS.map(tagOf));
const TEXTS = ['Your code is 1234', 'کد تایید: 1234', 'a'.repeat(200)];

function startProcess(world: World, kind: Kind): void {
  const { random, around, bus, weather, table, fold, witness } = world;
  // Rarely: a dispatcher whose clock is ahead claims and releases what expires until Redis' clock agrees, some thousand times.
  const skewMs = random.chance(0.01) ? random.between(-2_000, 2_000) : 0;
  const process: Process = { name: `${kind}-${world.started++}`, alive: true, frozenUntil: 0, skewMs };
  // In a turn of its own: what it awaits from here on is the process', not the world's.
  after(0, process, () => {
    if (kind === 'gateway') {
      process.idleMs = () => idleOf(world, 'outbox');
      const gateway = startGateway(around, process);
      world.running.push({ kind, process, gateway, close: gateway.close });
    } else if (kind === 'billing') {
      process.idleMs = () => idleOf(world, 'due');
      const billing = startBilling(around, process);
      world.running.push({ kind, process, billing, close: billing.close });
    } else if (kind === 'dispatcher') {
      const dispatcher = startDispatcher(around, process);
      world.running.push({ kind, process, close: dispatcher.close });
    } else {
      const billing = connectBilling(around, process);
      startReport({ weather, table, fold, onFault: witness.fault }, process, bus.clientOf(process), billing);
      world.running.push({ kind, process, close: async () => undefined });
    }
  });
}

/** A poll with nothing to find is put off by its own period. */
function idleOf({ around }: World, index: 'outbox' | 'due'): number {
  const { memory, now } = around.redis;
  for (const tag of TAGS_USED) {
    for (const at of memory.scores(`${tag}:${index}`).values()) if (at <= now()) return 0;
    if (index === 'due' && memory.fields(`${tag}:ledger`).size > 0) return 0;
  }
  return IDLE_MS;
}

function end(world: World, running: Running): void {
  const { process } = running;
  if (!process.alive) return;
  process.alive = false;
  world.running = world.running.filter((other) => other !== running);
  const { billings } = world.around;
  const at = billings.findIndex((billing) => billing.process === process);
  if (at >= 0) billings.splice(at, 1);
  world.bus.lost(process);
}

function replace(world: World, { kind }: Running): void {
  const wait = Math.min(world.random.between(100, 6_000), Math.max(1, world.calmAt - worldNow()));
  after(wait, WORLD, () => startProcess(world, kind));
}

const kill = (world: World, running: Running): void => {
  if (!running.process.alive) return;
  end(world, running);
  replace(world, running);
};

/** In good order, within the time that a service gives itself. */
function leave(world: World, running: Running): void {
  const { process } = running;
  const ended = (): void => kill(world, running);
  after(0, process, () => void running.close().then(() => after(1, WORLD, ended)));
  after(15_000, WORLD, ended);
}

function freeze(world: World, { process }: Running): void {
  process.frozenUntil = Math.min(worldNow() + world.random.between(500, 25_000), world.calmAt);
  world.bus.lost(process);
}

/** Faults that strike a process or a server, at their own times. */
function planStrikes(world: World): void {
  const { random, weather, bus, around, calmAt, struck } = world;
  const { faults } = weather;
  const strike = (name: string, perS: number, run: () => void): void => {
    if (perS <= 0) return;
    const next = (): void => {
      const wait = (-Math.log(1 - random.float()) * 1_000) / perS;
      if (worldNow() + wait < calmAt)
        after(wait, WORLD, () => {
          struck[name] = (struck[name] ?? 0) + 1;
          run();
          next();
        });
    };
    next();
  };
  const someone = (run: (running: Running) => void) => () => {
    if (world.running.length > 0) run(random.pick(world.running));
  };
  strike(
    'kills',
    faults.killsPerS,
    someone((running) => kill(world, running)),
  );
  strike(
    'freezes',
    faults.freezesPerS,
    someone((running) => freeze(world, running)),
  );
  strike(
    'leaves',
    faults.leavesPerS,
    someone((running) => leave(world, running)),
  );
  strike('rebalances', faults.rebalancesPerS, bus.rebalance);
  const outage = (name: 'kafkaAwayUntil' | 'redisAwayUntil' | 'postgresAwayUntil' | 'operatorAwayUntil'): void => {
    if (!random.chance(0.12)) return;
    after(random.between(0, 15_000), WORLD, () => {
      weather[name] = Math.min(worldNow() + random.between(1_000, 20_000), calmAt);
    });
  };
  outage('kafkaAwayUntil');
  outage('redisAwayUntil');
  outage('postgresAwayUntil');
  outage('operatorAwayUntil');
  if (random.chance(0.005))
    after(random.between(0, 15_000), WORLD, () => around.redis.jump(random.pick([-60_000, 60_000])));
  if (random.chance(0.1))
    after(random.between(0, 15_000), WORLD, () =>
      bus.append(TOPICS.status, random.pick([null, '', '{', '[]', '{"kind":"status"}'])),
    );
}

/** Runs a client's call at some process of a kind; answers nothing when that process dies or is too slow. */
function callSome<T>(
  world: World,
  kind: Kind,
  call: (running: Running) => Promise<T>,
  heard: (result: T | Error | null) => void,
): void {
  const candidates = world.running.filter((running) => running.kind === kind);
  const running = candidates[world.random.between(0, candidates.length - 1)];
  if (running === undefined) {
    heard(new Error('refused'));
    return;
  }
  let open = true;
  const hear = (result: T | Error | null): void => {
    if (open) heard(result);
    open = false;
  };
  after(CLIENT_TIMEOUT_MS, WORLD, () => hear(null));
  after(world.random.between(1, 5), running.process, () => {
    call(running).then(
      (result) => after(1, WORLD, () => hear(result)),
      (thrown) => after(1, WORLD, () => hear(toAppError(thrown))),
    );
  });
}

function planTopUps(world: World): void {
  const { random, toppedUp } = world;
  const ask = (user: string, amount: number, key: string, tries: number): void => {
    const sums = toppedUp.get(user) ?? { sure: 0, perhaps: 0 };
    toppedUp.set(user, sums);
    callSome(
      world,
      'billing',
      ({ billing }) => (billing as BillingProcess).topUp(user, amount, key),
      (result) => {
        const unknown = result === null || (result instanceof Error && toAppError(result).code === 'outcome_unknown');
        if (unknown && key !== '' && tries > 0) return ask(user, amount, key, tries - 1);
        if (unknown) sums.perhaps += amount;
        else if (!(result instanceof Error)) sums.sure += amount;
        else if (key !== '' && tries < 2) sums.perhaps += amount;
      },
    );
  };
  for (const user of USERS) {
    for (let n = random.between(1, 2); n > 0; n -= 1) {
      const key = random.chance(0.5) ? `t${n}` : '';
      const amount = random.pick([20, 50, 200, 500]);
      after(n === 1 ? 0 : random.between(0, 10_000), WORLD, () => ask(user, amount, key, 2));
    }
  }
}

const checkItem = (item: unknown): SendItem => item as SendItem;

function planSends(world: World): number {
  const { random, told } = world;
  let lastValid = 0;
  const itemOf = (ref: string): SendItem => {
    const valid_for_s = random.pick([8, 20, 60]);
    lastValid = Math.max(lastValid, valid_for_s * 1_000);
    const type = random.chance(0.4) ? 'express' : 'normal';
    return { phone: random.pick(PHONES), text: random.pick(TEXTS), type, client_ref: ref, valid_for_s };
  };
  const send = (user: string, items: SendItem[], entries: Told[], key: string, tries: number): void =>
    callSome<ItemResult[]>(
      world,
      'gateway',
      async ({ gateway }) => {
        const deps = (gateway as Gateway).accept;
        if (items.length === 1) return [(await accept(deps, user, items[0] as SendItem, key)).answer];
        return (await acceptBatch(deps, user, items, key, checkItem)).answer.results;
      },
      (result) => {
        const error = result instanceof Error ? toAppError(result).code : null;
        entries.forEach((entry, i) => {
          const one = Array.isArray(result) ? result[i] : undefined;
          if (one !== undefined && 'message_id' in one) {
            entry.answers.push('accepted');
            entry.ids.push(one.message_id);
          } else entry.answers.push(result === null || error === 'outcome_unknown' ? 'unknown' : 'refused');
        });
        const failed =
          result === null || error === 'outcome_unknown' || error === 'unavailable' || error === 'internal';
        if (failed && tries > 0)
          after(random.between(100, 3_000), WORLD, () => send(user, items, entries, key, tries - 1));
      },
    );
  // Few messages: what goes wrong between two shows with two, and a minute holds more histories.
  const count = random.pick([1, 2, 2, 3, 6]);
  for (let n = 0; n < count; n += 1) {
    const user = random.pick(USERS);
    const key = random.chance(0.5) ? `k${n}` : '';
    const size = random.chance(0.2) ? random.between(2, 4) : 1;
    const items = Array.from({ length: size }, (_, i) => itemOf(`r${n}.${i}`));
    const entries = items.map(({ client_ref = '' }): Told => ({ ref: client_ref, user, key, answers: [], ids: [] }));
    told.push(...entries);
    const tries = random.between(0, TRIES_MAX);
    after(random.between(500, SENDS_MS), WORLD, () => send(user, items, entries, key, tries));
  }
  return lastValid;
}

const NO_PLANT: Plant = {};
const RETRY_WAITS_MS = [
  [500, 1_000, 2_000],
  [1_000, 4_000, 9_000],
] as const;
const scripts = new Map<Plant, Map<readonly number[], Scripts>>();

/** Billing's scripts with these waits, compiled once a run. */
function scriptsFor(plant: Plant, retryWaitsMs: readonly number[]): Scripts {
  const known = scripts.get(plant) ?? new Map<readonly number[], Scripts>();
  scripts.set(plant, known);
  const found =
    known.get(retryWaitsMs) ?? compileScripts({ ...TIMES, retryWaitsMs }, plant.script ?? ((_, lua) => lua));
  known.set(retryWaitsMs, found);
  return found;
}

function createWorld(random: Random, { plant = NO_PLANT, strict = false }: Settings): World {
  const weather: Weather = {
    random,
    faults: drawFaults(random),
    kafkaAwayUntil: 0,
    redisAwayUntil: 0,
    postgresAwayUntil: 0,
    operatorAwayUntil: 0,
    operatorAway: random.pick(['MCI', 'Rightel']),
    kill: (process) => {
      const running = world.running.find((one) => one.process === process);
      if (running) kill(world, running);
    },
  };
  const redis = createRedis({
    weather,
    onScript: (name, tag, args) => witness.onScript(name, tag, args),
  });
  const witness = createWitness(redis.memory, redis.now, worldNow);
  const bus = createBus(weather, (topic, value) => {
    if (topic !== TOPICS.status || value === null || !value.startsWith('{"kind":"status","id"')) return;
    const { id, version } = JSON.parse(value) as { id: string; version: number };
    witness.onPublished(id, version);
  });
  const { file, rules } = parsed(random.pick([1, 5, 15]), random.chance(0.3));
  const operators = createOperators(weather, ({ id, attempt }) => {
    if (!witness.messages.has(id)) witness.fault(`message ${id} was submitted, and nobody holds it`);
    // A receipt may decide a message between its claim and its submit: what counts is that this attempt was claimed just now.
    else if (worldNow() - witness.claimedAt(id, attempt) > CLAIM_GOOD_MS)
      witness.fault(`message ${id} was submitted without a claim of attempt ${attempt}`);
  });
  const undone = new Set<string>();
  witness.onUndone = ({ id, attempt }) => {
    const since = witness.claimedAt(id, attempt);
    const underway = operators.submits.some(
      (submit) => submit.id === id && submit.attempt === attempt && submit.at >= since && !HARMLESS.has(submit.told),
    );
    if (!underway) return;
    undone.add(id);
    if (strict) witness.fault(`message ${id}: its claim was undone though it was submitted`);
  };
  const waits = random.pick(RETRY_WAITS_MS);
  const around: Surroundings = {
    weather,
    redis,
    bus,
    operators,
    billings: [],
    heldTwice: new Set(),
    scripts: scriptsFor(plant, waits),
    file,
    rules,
  };
  const world: World = {
    random,
    weather,
    around,
    bus,
    witness,
    table: newTable(),
    fold: { ...realFold, ...plant.fold },
    running: [],
    beganAt: worldNow(),
    calmAt: worldNow() + random.between(10_000, 40_000),
    told: [],
    toppedUp: new Map(),
    started: 0,
    struck: {},
    known: strict ? NOTHING_KNOWN : { heldTwice: around.heldTwice, undone, expiredUnseen: true },
  };
  return world;
}

function isOver({ around, bus, witness, calmAt, beganAt }: World): boolean {
  if (worldNow() < Math.max(calmAt + LATE_MS, beganAt + CLIENTS_MS)) return false;
  for (const seen of witness.messages.values()) if (isOpen(seen)) return false;
  for (const tag of TAGS_USED) {
    for (const index of ['due', 'outbox']) if (around.redis.memory.scores(`${tag}:${index}`).size > 0) return false;
    if (around.redis.memory.fields(`${tag}:ledger`).size > 0) return false;
  }
  return bus.behind().length === 0 && around.operators.underway() === 0;
}

/** Every process is there and everything works from now on. */
function calm(world: World): void {
  world.weather.faults = NO_FAULTS;
  for (const { process } of world.running) process.frozenUntil = 0;
}

function balancesOf({ around }: World): Map<string, { posted: number; topped_up: number }> {
  return new Map(
    USERS.map((user) => {
      const fields = around.redis.memory.fields(`${tagOf(user)}:a:${user}`);
      return [user, { posted: Number(fields.get('posted') ?? 0), topped_up: Number(fields.get('topped_up') ?? 0) }];
    }),
  );
}

/** Long after everything was forgotten the topics are read from their beginning: nothing may come of it. */
function readAgain(world: World): void {
  const { around, bus, witness } = world;
  const before = around.operators.submits.length;
  const books = JSON.stringify([...balancesOf(world)]);
  for (const kind of ['gateway', 'billing', 'dispatcher', 'report'] as const) startProcess(world, kind);
  bus.rewind();
  runUntil(worldNow() + 30_000);
  if (around.operators.submits.length > before) witness.fault('a topic that was read again was submitted again');
  if (JSON.stringify([...balancesOf(world)]) !== books) witness.fault('a topic that was read again moved money');
}

export function runHistory(seed: number, settings: Settings = {}): Outcome {
  const random = createRandom(seed);
  beginWorld(random);
  drained(() => void newId());
  const world = createWorld(random, settings);
  for (const kind of ['gateway', 'billing', 'dispatcher'] as const) {
    startProcess(world, kind);
    if (random.chance(0.6)) startProcess(world, kind);
  }
  startProcess(world, 'report');
  planTopUps(world);
  const lastValid = planSends(world);
  planStrikes(world);
  const { witness, around } = world;
  const broken = (): boolean => witness.faults.length > 0;
  runUntil(world.calmAt, broken);
  calm(world);
  const limit = world.calmAt + lastValid + BOUND_MS;
  while (!broken() && !isOver(world) && worldNow() < limit) runUntil(worldNow() + 1_000, broken);
  if (!broken() && !isOver(world))
    witness.fault(`not over ${BOUND_MS / 1_000} s after the last validity: ${stateOf(world)}`);
  if (!broken()) {
    // Nothing is on its way any more: forgetting is Redis' own business.
    for (const running of [...world.running]) end(world, running);
    runUntil(worldNow() + TIMES.forgetAfterMs + 70_000);
    witness.look();
    if (random.chance(0.15)) readAgain(world);
  }
  const evidence: Evidence = {
    witness,
    told: world.told,
    submits: around.operators.submits,
    table: world.table,
    fold: world.fold,
    known: world.known,
    toppedUp: world.toppedUp,
    balances: balancesOf(world),
    clockMoved: around.redis.now() !== worldNow(),
  };
  const reached: Record<string, number> = { ...world.struck };
  for (const what of reachedBy(evidence)) reached[what] = (reached[what] ?? 0) + 1;
  return {
    seed,
    messages: witness.messages.size,
    submits: around.operators.submits.length,
    turns: turnCount(),
    reached,
    faults: broken() ? [...witness.faults] : faultsOf(evidence),
  };
}

function stateOf({ witness, bus, around }: World): string {
  const open = [...witness.messages.values()]
    .filter(isOpen)
    .map(({ id, state, attempt }) => `${id} ${state} ${attempt}`);
  const { memory } = around.redis;
  const left = memory
    .keys()
    .filter((key) => key.endsWith(':due') || key.endsWith(':outbox') || key.endsWith(':ledger'));
  return JSON.stringify({ open, left, lag: bus.behind(), underway: around.operators.underway() });
}
