/** Waiting for what must become true: asked again and again within a bound, never slept for. */
import { setTimeout as delay } from 'node:timers/promises';

type Empty = false | null | undefined | '' | 0;

const shown = (value: unknown): string => {
  const text = value instanceof Error ? value.message : JSON.stringify(value);
  return (text ?? String(value)).slice(0, 2_000);
};

export type Bound = { withinMs?: number; everyMs?: number };

/**
 * Asks until the answer is truthy, and answers that. A probe that throws has not got there yet.
 * @param what the guarantee, for the error that says it did not hold in time
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  { withinMs = 15_000, everyMs = 50 }: Bound = {},
): Promise<Exclude<T, Empty>> {
  const end = performance.now() + withinMs;
  for (;;) {
    let last: unknown;
    try {
      last = await probe();
      if (last) return last as Exclude<T, Empty>;
    } catch (thrown) {
      last = thrown;
    }
    if (performance.now() > end) throw new Error(`${what}: not within ${withinMs / 1_000} s; last: ${shown(last)}`);
    await delay(everyMs);
  }
}
