/** Which queues are full: what reads Kafka for them waits until they are half empty. */

/** What a queue may hold at most, in times of its bound: what was read already is not given back. */
const BRIM = 8;

export type Fullness = {
  /** The queue's name once it is full, null before: as its reader is to be told. */
  pausedBy(queue: string, length: number): string | null;
  /** A queue has this length now; tells its reader when it was full and is not any more. */
  drained(queue: string, length: number): void;
  /** Whether it holds several times its bound by now. */
  brims(length: number): boolean;
};

export function createFullness(queueMax: number, onDrained: (queue: string) => void): Fullness {
  const full = new Set<string>();
  return {
    pausedBy: (queue, length) => {
      if (length < queueMax) return null;
      full.add(queue);
      return queue;
    },
    drained: (queue, length) => {
      if (length < queueMax / 2 && full.delete(queue)) onDrained(queue);
    },
    brims: (length) => length >= queueMax * BRIM,
  };
}
