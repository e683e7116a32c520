/** One fault after another, three at once where they do not touch the same thing, and who looks after the services meanwhile. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../simulation/random.ts';
import { until } from '../../support/poll.ts';
import type { Fault } from './fault.ts';
import type { OperatorName } from './operators.ts';
import { SERVICES, type ServiceName, type World } from './world.ts';

/** A fault that was: when (epoch milliseconds), and how many messages were accepted under it. */
export type Window = {
  kind: string;
  refuses: readonly OperatorName[];
  from: number;
  to: number;
  messages: number;
};

/** A process that nobody killed and that ended all the same. */
export type OwnEnd = { service: ServiceName; at: string; words: string };

export type Schedule = {
  readonly windows: readonly Window[];
  readonly ownEnds: readonly OwnEnd[];
  /** What went wrong with a fault itself: it could not be done, or what it did could not be healed. */
  readonly troubles: readonly string[];
  /** Starts faults until told to pause; three run at once at most. */
  go(): void;
  /** No further fault; resolves when those under way are healed and all services run. */
  pause(): Promise<void>;
  /** These next, one by one; resolves when they are done. */
  runAll(faults: readonly Fault[]): Promise<void>;
  close(): Promise<void>;
};

const AT_ONCE = 3;
const HEALED_WITHIN_MS = 300_000;
const WATCH_EVERY_MS = 100;

type Deps = {
  world: World;
  faults: Iterator<Fault>;
  random: Random;
  accepted: () => number;
  say: (line: string) => void;
};

export function createSchedule({ world, faults, random, accepted, say }: Deps): Schedule {
  const windows: Window[] = [];
  const ownEnds: OwnEnd[] = [];
  const troubles: string[] = [];
  const busy = new Set<string>();
  const mending = new Set<ServiceName>();
  /** Drawn, and waiting for what another fault touches. */
  let next: Fault | null = null;
  let running = 0;
  let going = false;
  let closed = false;

  const run = async (fault: Fault): Promise<void> => {
    running += 1;
    for (const target of fault.targets) busy.add(target);
    const { kind, refuses = [] } = fault;
    const window: Window = { kind, refuses, from: Date.now(), to: Number.POSITIVE_INFINITY, messages: 0 };
    const before = accepted();
    windows.push(window);
    try {
      await fault.run(world, random);
    } catch (thrown) {
      troubles.push(`${kind}: ${(thrown as Error).message}`);
      say(`  TROUBLE ${kind}: ${(thrown as Error).message}`);
    }
    window.to = Date.now();
    window.messages = accepted() - before;
    for (const target of fault.targets) busy.delete(target);
    running -= 1;
    say(`  ${new Date().toISOString().slice(11, 19)} ${kind} (${((window.to - window.from) / 1_000).toFixed(1)} s)`);
  };

  const loop = async (): Promise<void> => {
    while (!closed) {
      if (going && running < AT_ONCE) {
        next ??= faults.next().value as Fault;
        if (next.targets.every((target) => !busy.has(target) && !mending.has(target as ServiceName))) {
          void run(next);
          next = null;
          await delay(random.between(200, 2_000));
        }
      }
      await delay(WATCH_EVERY_MS);
    }
  };

  /** As whoever runs the services does: what ended is started again. */
  const watch = async (): Promise<void> => {
    while (!closed) {
      for (const service of SERVICES) {
        const unit = world.services[service];
        if (busy.has(service) || mending.has(service) || unit.isAlive()) continue;
        const words = `${unit.ending ?? 'nobody saw how'}: ${world.wordsOf(service)}`;
        ownEnds.push({ service, at: new Date().toISOString(), words });
        say(`  ENDED BY ITSELF: ${service}, ${words}`);
        mending.add(service);
        void unit
          .ensure()
          .catch((thrown: Error) => troubles.push(`${service}: ${thrown.message}`))
          .finally(() => mending.delete(service));
      }
      await delay(WATCH_EVERY_MS);
    }
  };
  const loops = Promise.all([loop(), watch()]);
  const quiet = (): Promise<true> =>
    until(
      'every fault is healed and every service runs',
      () => running === 0 && mending.size === 0 && SERVICES.every((name) => world.services[name].isAlive()),
      { withinMs: HEALED_WITHIN_MS },
    );

  return {
    windows,
    ownEnds,
    troubles,
    go: () => {
      going = true;
    },
    pause: async () => {
      going = false;
      await quiet();
    },
    runAll: async (list) => {
      for (const fault of list) {
        await quiet();
        await run(fault);
      }
    },
    close: async () => {
      closed = true;
      await loops;
    },
  };
}
