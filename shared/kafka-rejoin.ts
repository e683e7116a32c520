/**
 * What becomes of a consumer that kafkajs has given up for good. Running it again loses nothing: it reads from what was committed.
 * Where that does not help, the process ends and is started anew.
 */

/** A consumer that finds no coordinator of its group tries again for so long. */
const AWAY_MAX_MS = 300_000;
/** Given up for another reason more often than this within the time, it is no accident any more. */
const CRASHES_MAX = 5;
const CRASHES_WITHIN_MS = 300_000;

export type Rejoining = {
  /** It was given up: whether it is to be run again, and since when (milliseconds) there is no coordinator, where that is why. */
  crashed(error: unknown): { again: boolean; awayMs: number | null };
  /** It is a member of its group. */
  joined(): void;
};

/**
 * Whether a consumer gave up only because no broker named the coordinator of its group. kafkajs takes that for final, yet it is
 * what a Kafka that has just been started, or is away, answers.
 */
function isCoordinatorAway(error: unknown): boolean {
  const { name, cause } = error as { name?: string; cause?: unknown };
  return (
    name === 'KafkaJSGroupCoordinatorNotFound' || (cause !== undefined && cause !== null && isCoordinatorAway(cause))
  );
}

/** @param now milliseconds of a clock that nobody sets */
export function createRejoining(now: () => number = () => performance.now()): Rejoining {
  let awaySince: number | null = null;
  let crashes: number[] = [];
  return {
    crashed: (error) => {
      const at = now();
      if (isCoordinatorAway(error)) {
        awaySince ??= at;
        return { again: at - awaySince <= AWAY_MAX_MS, awayMs: at - awaySince };
      }
      crashes = crashes.filter((earlier) => at - earlier < CRASHES_WITHIN_MS);
      crashes.push(at);
      return { again: crashes.length <= CRASHES_MAX, awayMs: null };
    },
    joined: () => {
      awaySince = null;
    },
  };
}
