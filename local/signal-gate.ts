/** What a signal means, when one Ctrl-C arrives twice. */

/** Under `npx` or `bun run` the second delivery comes 0–8 ms after the first; a person needs longer than this. */
export const SECOND_SIGNAL_MS = 1_000;

export type SignalMeaning = 'stop' | 'same' | 'out';

/**
 * The first signal means stop, what follows within a second is the same one, a later one means out at once.
 * @param now monotonic milliseconds
 */
export function createSignalGate(now: () => number): () => SignalMeaning {
  let first: number | null = null;
  return () => {
    if (first === null) {
      first = now();
      return 'stop';
    }
    return now() - first < SECOND_SIGNAL_MS ? 'same' : 'out';
  };
}
