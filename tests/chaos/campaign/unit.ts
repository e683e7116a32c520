/** One process of the campaign that is killed, frozen and started again, and that somebody looks after in between. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { statFields } from '../../../local/identity.ts';
import type { LocalServer } from '../../../local/servers/server-process.ts';

type Env = Record<string, string>;

export type Unit = {
  readonly name: string;
  readonly pid: number;
  isAlive(): boolean;
  /** How its last process ended; null while it runs, and where nobody saw it. */
  readonly ending: string | null;
  /** Starts it where it does not run, again and again until it is ready. `env` is for this process of it alone. */
  ensure(env?: Env): Promise<void>;
  /** One try. Throws when it is not ready in time or ends before. */
  start(env?: Env): Promise<void>;
  kill(): Promise<void>;
  stop(): Promise<void>;
  freeze(): void;
  thaw(): void;
};

const ENSURE_WITHIN_MS = 240_000;

/** The process and those that it has started, which do its work (PostgreSQL has one for each session). */
function familyOf(pid: number): number[] {
  const own = [pid];
  for (const entry of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(entry)) continue;
    try {
      if (Number(statFields(readFileSync(`/proc/${entry}/stat`, 'utf8'))[1]) === pid) own.push(Number(entry));
    } catch {
      // It has just ended.
    }
  }
  return own;
}

/** @param open starts a process and answers when it is ready */
export function createUnit(name: string, open: (env: Env) => Promise<LocalServer>): Unit {
  let server: LocalServer | null = null;
  let frozen: number[] = [];
  const isAlive = (): boolean => server?.isAlive() ?? false;
  const thaw = (): void => {
    for (const pid of frozen.splice(0)) {
      try {
        process.kill(pid, 'SIGCONT');
      } catch {
        // It was killed meanwhile.
      }
    }
  };
  const start = async (env: Env = {}): Promise<void> => {
    server = null;
    server = await open(env);
  };
  return {
    name,
    get pid() {
      return server?.pid ?? 0;
    },
    isAlive,
    get ending() {
      return server?.ending ?? null;
    },
    start,
    ensure: async (env = {}) => {
      for (const until = performance.now() + ENSURE_WITHIN_MS; !isAlive(); ) {
        try {
          await start(env);
        } catch (thrown) {
          if (performance.now() > until) throw thrown;
          await delay(500);
        }
      }
    },
    kill: async () => {
      await server?.kill();
      // What it has started ends by itself, but not while it is frozen.
      thaw();
    },
    stop: async () => {
      thaw();
      await server?.stop();
    },
    freeze: () => {
      if (!isAlive()) return;
      frozen = familyOf((server as LocalServer).pid);
      for (const pid of frozen) process.kill(pid, 'SIGSTOP');
    },
    thaw,
  };
}
