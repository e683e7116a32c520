/**
 * Coalescing: one batch in flight, and everything that arrives meanwhile is the next batch. No timers on the way of a lone
 * item, and a busy second shares the cost of its calls. What the batch is for (Hold, Claim, Settle, produce, a database
 * write) is the caller's business.
 */

export type CoalesceOptions<I> = {
  /** The most that one batch may weigh. */
  batchMax: number;
  /** What an item weighs; 1 when not given. An item heavier than batchMax goes alone. */
  weigh?: (item: I) => number;
  /** A further batch may start once the youngest in flight is older than this, so that one hung call does not freeze everybody. */
  overlapMs?: number;
  /** The most batches in flight at once. */
  inflightMax?: number;
  /** From the start of one batch to the next at least, where a batch costs by itself; what comes after a quiet time goes at once. */
  paceMs?: number;
  /** An item that the pace does not hold up, and a batch in flight only for URGENT_OVERLAP_MS; nor whatever waits with it. */
  urgent?: (item: I) => boolean;
};

/** Short against what a password may wait, long against what a batch takes while nothing is the matter. */
export const URGENT_OVERLAP_MS = 10;

export type Coalescer<I, O> = {
  (item: I): Promise<O>;
  /** Items that wait for a batch. */
  readonly waiting: number;
  /** Resolves when nothing waits and nothing is in flight. */
  idle(): Promise<void>;
};

type Waiting<I, O> = { item: I; resolve: (value: O) => void; reject: (reason: unknown) => void };

/**
 * @param work does one batch; answers one result per item, in order. When it rejects, each item of that batch rejects.
 */
export function coalesce<I, O>(work: (items: I[]) => Promise<O[]>, options: CoalesceOptions<I>): Coalescer<I, O> {
  const { batchMax, weigh, overlapMs = 50, inflightMax = 4, paceMs = 0, urgent } = options;
  let queue: Waiting<I, O>[] = [];
  let inflight = 0;
  let startedAt = Number.NEGATIVE_INFINITY;
  let scheduled = false;
  let overlapTimer: ReturnType<typeof setTimeout> | null = null;
  let paceTimer: ReturnType<typeof setTimeout> | null = null;
  let hurried = false;
  let idlers: (() => void)[] = [];

  const take = (): Waiting<I, O>[] => {
    if (weigh === undefined && queue.length <= batchMax) {
      const all = queue;
      queue = [];
      return all;
    }
    let weight = 0;
    let count = 0;
    for (const waiting of queue) {
      weight += weigh ? weigh(waiting.item) : 1;
      if (count > 0 && weight > batchMax) break;
      count += 1;
    }
    return queue.splice(0, count);
  };

  const finish = (): void => {
    inflight -= 1;
    if (queue.length > 0) pump();
    else if (inflight === 0) {
      const waiters = idlers;
      idlers = [];
      for (const wake of waiters) wake();
    }
  };

  const start = async (batch: Waiting<I, O>[]): Promise<void> => {
    inflight += 1;
    startedAt = performance.now();
    try {
      const results = await work(batch.map((waiting) => waiting.item));
      if (results.length !== batch.length) throw new Error('a batch was answered with another count of results');
      batch.forEach((waiting, i) => {
        waiting.resolve(results[i] as O);
      });
    } catch (thrown) {
      for (const waiting of batch) waiting.reject(thrown);
    } finally {
      finish();
    }
  };

  const patience = (): number => (hurried ? Math.min(URGENT_OVERLAP_MS, overlapMs) : overlapMs);

  const pump = (): void => {
    if (queue.length === 0) return;
    const age = performance.now() - startedAt;
    if (inflight === 0 && age < paceMs && !hurried) {
      paceTimer ??= setTimeout(() => {
        paceTimer = null;
        pump();
      }, paceMs - age);
      return;
    }
    if (inflight === 0 || (age >= patience() && inflight < inflightMax)) {
      const batch = take();
      // What a full batch leaves behind may hold the item in a hurry.
      hurried &&= queue.length > 0;
      void start(batch);
    }
    if (queue.length > 0 && inflight < inflightMax && overlapTimer === null) {
      overlapTimer = setTimeout(() => {
        overlapTimer = null;
        pump();
      }, patience());
    }
  };

  /** Whatever waits goes on by the clock of the one in a hurry. */
  const hurry = (): void => {
    if (hurried) return;
    hurried = true;
    if (overlapTimer !== null) clearTimeout(overlapTimer);
    overlapTimer = null;
  };

  const add = (item: I): Promise<O> =>
    new Promise<O>((resolve, reject) => {
      queue.push({ item, resolve, reject });
      if (urgent?.(item)) hurry();
      if (scheduled || (paceTimer !== null && !hurried)) return;
      if (inflight > 0) return void (overlapTimer === null && pump());
      // What arrives in the same turn of the event loop joins the first batch.
      scheduled = true;
      setImmediate(() => {
        scheduled = false;
        pump();
      });
    });

  return Object.defineProperties(add, {
    waiting: { get: () => queue.length },
    idle: {
      value: () =>
        inflight === 0 && queue.length === 0 ? Promise.resolve() : new Promise<void>((resolve) => idlers.push(resolve)),
    },
  }) as Coalescer<I, O>;
}
