/**
 * One history by its seed: clients, top-ups and messages; the services' own code over a world that goes wrong in its own way;
 * then calm, until everything has ended; then a look at what came of it.
 */
import { TIMES } from '../../billing/scripts.ts';
import { newId } from '../../shared/id.ts';
import { tagOf } from '../support/shards.ts';
import { CLIENTS_MS, planSends, planTopUps } from './clients.ts';
import { beginWorld, drained, runUntil, turnCount, worldNow } from './clock.ts';
import { NO_FAULTS } from './faults.ts';
import { end, planStrikes, startProcess } from './lives.ts';
import { TAGS_USED, USERS } from './processes.ts';
import { createRandom } from './random.ts';
import { type Evidence, faultsOf, reachedBy } from './verdict.ts';
import { isOpen } from './witness.ts';
import { createWorld, type Settings, type World } from './world.ts';

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
/** So long after the calm began, what was slow before it has come. */
const LATE_MS = 15_000;

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
    // Nothing is on its way any more: the sweeper alone is left, which forgets.
    for (const running of [...world.running]) if (running.kind !== 'billing') end(world, running);
    runUntil(worldNow() + TIMES.forgetAfterMs + 70_000);
    witness.look();
    for (const running of [...world.running]) end(world, running);
    if (random.chance(0.15)) readAgain(world);
  }
  const evidence: Evidence = {
    witness,
    told: world.told,
    submits: around.operators.submits,
    table: world.table,
    fold: world.fold,
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
