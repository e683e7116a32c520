/**
 * Things to do later, at thousands a second: a heap behind one timer, because a timer of its own for each answer costs
 * more than the answer.
 */
type Entry = { dueMs: number; order: number; run: () => void };

export type Schedule = {
  /** Runs after at least `delayMs`; what is due at the same time runs in the order it was asked for. */
  after(delayMs: number, run: () => void): void;
  readonly size: number;
  close(): void;
};

export function createSchedule(): Schedule {
  const heap: Entry[] = [];
  let order = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let timerDueMs = Number.POSITIVE_INFINITY;
  let closed = false;

  const before = (a: Entry, b: Entry): boolean => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);

  const push = (entry: Entry): void => {
    let i = heap.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] as Entry;
      if (!before(entry, above)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = entry;
  };

  const pop = (): Entry => {
    const top = heap[0] as Entry;
    const last = heap.pop() as Entry;
    if (heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      if (!before(heap[child] as Entry, last)) break;
      heap[i] = heap[child] as Entry;
      i = child;
    }
    heap[i] = last;
    return top;
  };

  const arm = (): void => {
    const next = heap[0];
    if (closed || !next || next.dueMs >= timerDueMs) return;
    clearTimeout(timer);
    timerDueMs = next.dueMs;
    timer = setTimeout(fire, Math.max(0, Math.ceil(next.dueMs - performance.now())));
  };

  const fire = (): void => {
    timerDueMs = Number.POSITIVE_INFINITY;
    const now = performance.now();
    while (heap.length > 0 && (heap[0] as Entry).dueMs <= now) pop().run();
    arm();
  };

  return {
    after: (delayMs, run) => {
      if (closed) return;
      push({ dueMs: performance.now() + delayMs, order: order++, run });
      arm();
    },
    get size() {
      return heap.length;
    },
    close: () => {
      closed = true;
      clearTimeout(timer);
      heap.length = 0;
    },
  };
}
