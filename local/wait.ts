/** Waiting with a bound, and ending early when the command is asked to stop. */
import { setTimeout as delay } from 'node:timers/promises';

/** The command was asked to end while it was starting something. */
export class Stopped extends Error {
  constructor() {
    super('stopped');
    this.name = 'Stopped';
  }
}

type Wait = { withinMs: number; everyMs?: number; signal?: AbortSignal };

/**
 * Repeats `attempt` until it says true.
 * @returns false when `withinMs` has passed
 * @throws Stopped when the signal comes; whatever `attempt` throws
 */
export async function poll(
  attempt: () => boolean | Promise<boolean>,
  { withinMs, everyMs = 50, signal }: Wait,
): Promise<boolean> {
  const until = performance.now() + withinMs;
  for (;;) {
    if (signal?.aborted) throw new Stopped();
    if (await attempt()) return true;
    if (performance.now() > until) return false;
    await delay(everyMs);
  }
}
