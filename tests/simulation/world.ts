/** Everything that one history has. */
import { type Scripts, TIMES } from '../../billing/scripts.ts';
import { CLAIM_GOOD_MS } from '../../dispatcher/pump.ts';
import * as realFold from '../../report/fold.ts';
import { TOPICS } from '../../shared/topics.ts';
import { type Bus, createBus } from './bus.ts';
import { type Process, worldNow } from './clock.ts';
import { drawFaults, type Weather } from './faults.ts';
import { kill } from './lives.ts';
import { createOperators } from './operator.ts';
import { type BillingProcess, type Gateway, parsed, type Surroundings } from './processes.ts';
import type { Random } from './random.ts';
import { compileScripts, createRedis } from './redis.ts';
import { type Fold, newTable, type Table } from './report.ts';
import { HARMLESS, type Told } from './verdict.ts';
import { createWitness, type Witness } from './witness.ts';

/** A bug that is put in on purpose: what it does to a script's text, or to a function of the report's fold. */
export type Plant = { script?: (name: string, lua: string) => string; fold?: Partial<Fold> };

export type Settings = {
  plant?: Plant;
};

export type Kind = 'gateway' | 'billing' | 'dispatcher' | 'report';
export type Running = {
  kind: Kind;
  process: Process;
  close: () => Promise<void>;
  gateway?: Gateway;
  billing?: BillingProcess;
};

export type World = {
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
  told: Told[];
  toppedUp: Map<string, { sure: number; perhaps: number }>;
  /** Strikes so far, by kind. */
  struck: Record<string, number>;
  /** Processes so far. */
  started: number;
};

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

export function createWorld(random: Random, { plant = NO_PLANT }: Settings): World {
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
  witness.onUndone = ({ id, attempt }) => {
    const since = witness.claimedAt(id, attempt);
    const underway = operators.submits.some(
      (submit) => submit.id === id && submit.attempt === attempt && submit.at >= since && !HARMLESS.has(submit.told),
    );
    if (underway) witness.fault(`message ${id}: its claim was undone though it was submitted`);
  };
  const waits = random.pick(RETRY_WAITS_MS);
  const around: Surroundings = {
    weather,
    redis,
    bus,
    operators,
    billings: [],
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
  };
  return world;
}
