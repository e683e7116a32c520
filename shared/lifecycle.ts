/** Start in order, close in the reverse order, and end at a signal: one way for all four services. */
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError } from './config.ts';
import { errorFields, type Log, masked } from './log.ts';

const SHUTDOWN_MAX_MS = 15_000;
/** One Ctrl-C reaches a process twice within milliseconds under `npx` or `bun run`; only a later signal means "now". */
const SECOND_SIGNAL_MS = 1_000;

export type Scope = {
  /** Registers a close; the last registered closes first. */
  defer(name: string, close: () => unknown): void;
  /** True from the moment a shutdown begins: readiness says no from then on. */
  readonly closing: boolean;
  /** Marks the service unfit for good: it becomes unready, closes and exits non-zero. */
  fail(reason: string, cause?: unknown): void;
  close(): Promise<void>;
};

export function createScope(log: Log, onFail: (reason: string) => void = () => undefined): Scope {
  const closers: { name: string; close: () => unknown }[] = [];
  let closed: Promise<void> | null = null;
  const closeAll = async (): Promise<void> => {
    for (let next = closers.pop(); next; next = closers.pop()) {
      try {
        await next.close();
      } catch (thrown) {
        log.warn('close_failed', { part: next.name, ...errorFields(thrown) });
      }
    }
  };
  return {
    defer: (name, close) => void closers.push({ name, close }),
    get closing() {
      return closed !== null;
    },
    fail: (reason, cause) => {
      log.error('unfit', { reason, ...(cause === undefined ? {} : errorFields(cause)) });
      onFail(reason);
    },
    close: () => {
      closed ??= closeAll();
      return closed;
    },
  };
}

/**
 * Runs a service as this process's main job: starts it, ends it at INT, TERM or HUP (at most 15 s), exits with 1 after a fault.
 * @param start opens things in dependency order and registers each close with the scope
 */
export async function runMain(log: Log, start: (scope: Scope) => Promise<unknown>): Promise<void> {
  let firstSignalAt = 0;
  const end = async (code: number): Promise<void> => {
    const timeout = delay(SHUTDOWN_MAX_MS, undefined, { ref: false }).then(() => log.warn('shutdown_timed_out', {}));
    await Promise.race([scope.close(), timeout]);
    process.exit(code);
  };
  const scope = createScope(log, () => void end(1));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      const now = performance.now();
      if (firstSignalAt === 0) {
        firstSignalAt = now;
        log.info('stopping', { signal });
        void end(0);
      } else if (now - firstSignalAt >= SECOND_SIGNAL_MS) process.exit(130);
    });
  }
  try {
    await start(scope);
  } catch (thrown) {
    const problems = thrown instanceof ConfigError ? thrown.problems : [(thrown as Error).message ?? String(thrown)];
    for (const problem of problems) process.stderr.write(`${masked(problem)}\n`);
    log.error('start_failed', errorFields(thrown));
    await end(1);
  }
}

/**
 * Repeats `attempt` until it succeeds or `waitMs` has passed; then throws one sentence that says what is missing. A
 * ConfigError is thrown at once: waiting does not mend it.
 * @param describe what does not answer and the mend, e.g. "Kafka does not answer at …; `bun run infra` starts one"
 */
export async function waitFor<T>(attempt: () => Promise<T>, waitMs: number, describe: string): Promise<T> {
  const until = performance.now() + waitMs;
  for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, 2_000)) {
    try {
      return await attempt();
    } catch (thrown) {
      if (thrown instanceof ConfigError) throw thrown;
      if (performance.now() + pauseMs > until) throw new Error(describe, { cause: thrown });
    }
    await delay(pauseMs);
  }
}
