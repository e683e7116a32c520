/** The processes of a history: started, killed, frozen, leaving in good order, and started again; and what strikes them. */
import { TOPICS } from '../../shared/topics.ts';
import { connectBilling } from './calls.ts';
import { after, IDLE_MS, type Process, WORLD, worldNow } from './clock.ts';
import { startBilling, startDispatcher, startGateway, TAGS_USED } from './processes.ts';
import { startReport } from './report.ts';
import type { Kind, Running, World } from './world.ts';

export function startProcess(world: World, kind: Kind): void {
  const { random, around, bus, weather, table, fold, witness } = world;
  // Rarely: a dispatcher whose clock is ahead claims and releases what expires until Redis' clock agrees, some thousand times.
  const skewMs = random.chance(0.01) ? random.between(-2_000, 2_000) : 0;
  const process: Process = { name: `${kind}-${world.started++}`, alive: true, frozenUntil: 0, skewMs };
  // In a turn of its own: what it awaits from here on is the process', not the world's.
  after(0, process, () => {
    if (kind === 'gateway') {
      process.idleMs = () => idleOf(world, ['outbox']);
      const gateway = startGateway(around, process);
      world.running.push({ kind, process, gateway, close: gateway.close });
    } else if (kind === 'billing') {
      process.idleMs = () => idleOf(world, ['due', 'forgotten']);
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
function idleOf({ around }: World, indexes: readonly ('outbox' | 'due' | 'forgotten')[]): number {
  const { memory, now } = around.redis;
  for (const tag of TAGS_USED) {
    for (const index of indexes) for (const at of memory.scores(`${tag}:${index}`).values()) if (at <= now()) return 0;
    if (indexes.includes('due') && memory.fields(`${tag}:ledger`).size > 0) return 0;
  }
  return IDLE_MS;
}

export function end(world: World, running: Running): void {
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

export const kill = (world: World, running: Running): void => {
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
export function planStrikes(world: World): void {
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
