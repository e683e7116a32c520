/**
 * Which facts are written now, and which wait. A `queued` event waits a moment for the outcome of its message: one row write
 * then does for both. What waits is in this memory alone, and a crash loses none of it, for the offset of a partition never
 * passes a record that is not written.
 *
 * Nothing here changes before `written` is called: a write that failed leaves what waited waiting, and its batches are read
 * again.
 */
import type { Fact } from './events.ts';
import type { Reached } from './write.ts';

/** A batch of one partition, in the order of its offsets. */
export type Arrived = {
  topic: string;
  partition: number;
  facts: readonly Fact[];
  /** The record at this offset needs no redelivery any more. */
  done(offset: number): void;
};

type Queued = Fact & { kind: 'message' };
type Waiting = { fact: Queued; done(offset: number): void; untilMs: number };

/** What one write takes. */
export type Due = {
  facts: Fact[];
  /** Where the partitions that it touches stand once it is done. */
  reached: Reached[];
  /** To be called when all of it is written. */
  written(): void;
};

export type GatherOptions = {
  /** How long after its acceptance a `queued` event waits at most, and how long after it was read. */
  patienceMs: number;
  /** More than this many do not wait. */
  waitingMax: number;
  /** Epoch milliseconds. */
  now(): number;
  /** Milliseconds of a clock that nobody sets. */
  monotonic?(): number;
};

export type Gathering = {
  /** @param everything nothing waits any longer */
  take(arrived: readonly Arrived[], everything: boolean): Due;
  /** In how many milliseconds something will have waited long enough; null when nothing waits. */
  dueInMs(): number | null;
  /** Partitions were assigned: where each stands is what PostgreSQL says, until a batch of it has come. */
  assigned(): void;
};

const keyOf = ({ topic, partition }: { topic: string; partition: number }): string => `${topic}/${partition}`;

/** The messages whose outcome, or a part of it, has come. */
function decidedIn(arrived: readonly Arrived[]): Set<string> {
  const decided = new Set<string>();
  for (const { facts } of arrived) for (const fact of facts) if (fact.kind === 'status') decided.add(fact.event.id);
  return decided;
}

export function createGathering({
  patienceMs,
  waitingMax,
  now,
  monotonic = () => performance.now(),
}: GatherOptions): Gathering {
  let waiting: Waiting[] = [];
  /** Behind the last record of each partition that was taken. */
  const ends = new Map<string, number>();

  const take = (arrived: readonly Arrived[], everything: boolean): Due => {
    const nowMs = now();
    const atMs = monotonic();
    const hurry = everything || waiting.length > waitingMax;
    const decided = decidedIn(arrived);
    const due: { fact: Fact; done(offset: number): void }[] = [];
    const staying: Waiting[] = [];
    for (const one of waiting) {
      (hurry || one.untilMs <= atMs || decided.has(one.fact.event.id) ? due : staying).push(one);
    }
    const newEnds = new Map<string, Reached>();
    for (const { topic, partition, facts, done } of arrived) {
      for (const fact of facts) {
        const patient = fact.kind === 'message' && !hurry && !decided.has(fact.event.id);
        // By the clock of whoever accepted it; should that be wrong, what was read this moment waits its time and no longer.
        const leftMs = patient ? Math.min(patienceMs, fact.event.accepted_at + patienceMs - nowMs) : 0;
        if (leftMs > 0) staying.push({ fact: fact as Queued, done, untilMs: atMs + leftMs });
        else due.push({ fact, done });
      }
      const last = facts.at(-1);
      if (last) newEnds.set(keyOf(last), { topic, partition, next: last.offset + 1 });
    }
    return {
      facts: due.map(({ fact }) => fact),
      reached: reachedBy(due, staying, newEnds),
      written: () => {
        waiting = staying;
        for (const [key, { next }] of newEnds) ends.set(key, next);
        for (const { fact, done } of due) done(fact.offset);
      },
    };
  };

  /** Each touched partition stands before its first record that waits, else behind the last one that was taken. */
  const reachedBy = (
    due: readonly { fact: Fact }[],
    staying: readonly Waiting[],
    newEnds: ReadonlyMap<string, Reached>,
  ): Reached[] => {
    const touched = new Map<string, Reached>(newEnds);
    for (const { fact } of due) {
      const key = keyOf(fact);
      const next = touched.has(key) ? undefined : ends.get(key);
      if (next !== undefined) touched.set(key, { topic: fact.topic, partition: fact.partition, next });
    }
    for (const { fact } of staying) {
      const key = keyOf(fact);
      const one = touched.get(key);
      if (one && fact.offset < one.next) touched.set(key, { ...one, next: fact.offset });
    }
    return [...touched.values()];
  };

  return {
    take,
    dueInMs: () => {
      if (waiting.length === 0) return null;
      const first = waiting.reduce((least, { untilMs }) => Math.min(least, untilMs), Number.POSITIVE_INFINITY);
      return Math.max(0, first - monotonic());
    },
    assigned: () => ends.clear(),
  };
}
