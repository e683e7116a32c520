/** Keeps what `up` has started running: what ends by itself is started again, up to a bound. */
import { setTimeout as delay } from 'node:timers/promises';
import type { LocalServer } from './servers/server-process.ts';

type Supervised = Pick<LocalServer, 'name' | 'logFile' | 'isAlive' | 'restart'>;

/** More often than this in a minute is no accident any more. */
const RESTARTS_MAX = 5;
const WINDOW_MS = 60_000;

type Options = { say: (line: string) => void; signal: AbortSignal; now?: () => number; everyMs?: number };

/**
 * Watches until the signal comes.
 * @throws a sentence when one of them ends again and again, or cannot be started again
 */
export async function supervise(
  servers: readonly Supervised[],
  { say, signal, now = () => performance.now(), everyMs = 500 }: Options,
): Promise<void> {
  const restarts = new Map<string, number[]>();
  while (!signal.aborted) {
    for (const server of servers) {
      if (signal.aborted || server.isAlive()) continue;
      const recent = (restarts.get(server.name) ?? []).filter((at) => now() - at < WINDOW_MS);
      if (recent.length >= RESTARTS_MAX) {
        throw new Error(
          `${server.name} has ended ${recent.length + 1} times within a minute; its log is ${server.logFile}.`,
        );
      }
      restarts.set(server.name, [...recent, now()]);
      say(`${server.name} has ended by itself and is started again (its log: ${server.logFile}).`);
      await server.restart();
    }
    await delay(everyMs, undefined, { signal }).catch(() => undefined);
  }
}
