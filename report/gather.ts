/**
 * Which facts are written now, and which wait. A `queued` event waits a moment for the outcome of its message: one row write
 * then does for both. Where outcomes are read late it waits for as much longer: written before its outcome was read, a row would be
 * written twice, and be read later still. What waits is in this memory alone, and a crash loses none of it, for the offset of a
 * partition never passes a record that is not written.
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
  /** When the last of them was produced, epoch milliseconds. */
  producedMs: number;
  /** The record at this offset needs no redelivery any more. */
  done(offset: number): void;
};

type Queued = Fact & { kind: 'message' };
/** `untilMs`: by the monotonic clock, where outcomes are read in time. */
type Waiting = { fact: Queued; done(offset: number): void; untilMs: number };
/** By how much outcomes are read late, and until when that is so (monotonic). */
type Late = { ms: number; untilMs: number };

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
  /** Outcomes are in time when the newest that is read was produced no longer ago. */
  inTimeMs: number;
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

/** It waits for no more than this, however late outcomes are read. */
const LATE_MAX_MS = 10_000;
/** So long no newer outcome came: nothing is late any more, or nobody answers. */
const LATE_FOR_MS = 3_000;

/** By how much the newest outcome of these batches is read late; null where none has come. */
function lateBy(arrived: readonly Arrived[], inTimeMs: number, nowMs: number): number | null {
  let newestMs = Number.NEGATIVE_INFINITY;
  for (const { facts, producedMs } of arrived)
    if (facts.at(-1)?.kind === 'status') newestMs = Math.max(newestMs, producedMs);
  if (newestMs === Number.NEGATIVE_INFINITY) return null;
  return Math.min(LATE_MAX_MS, Math.max(0, nowMs - newestMs - inTimeMs));
}

export function createGathering({
  patienceMs,
  inTimeMs,
  waitingMax,
  now,
  monotonic = () => performance.now(),
}: GatherOptions): Gathering {
  let waiting: Waiting[] = [];
  let late: Late = { ms: 0, untilMs: 0 };
  /** Behind the last record of each partition that was taken. */
  const ends = new Map<string, number>();

  const take = (arrived: readonly Arrived[], everything: boolean): Due => {
    const nowMs = now();
    const atMs = monotonic();
    const hurry = everything || waiting.length > waitingMax;
    const decided = decidedIn(arrived);
    const seenMs = lateBy(arrived, inTimeMs, nowMs);
    const lateNow: Late = seenMs === null ? late : { ms: seenMs, untilMs: atMs + LATE_FOR_MS };
    const longerMs = atMs < lateNow.untilMs ? lateNow.ms : 0;
    const due: { fact: Fact; done(offset: number): void }[] = [];
    const staying: Waiting[] = [];
    for (const one of waiting) {
      (hurry || one.untilMs + longerMs <= atMs || decided.has(one.fact.event.id) ? due : staying).push(one);
    }
    const newEnds = new Map<string, Reached>();
    for (const { topic, partition, facts, done } of arrived) {
      for (const fact of facts) {
        const patient = fact.kind === 'message' && !hurry && !decided.has(fact.event.id);
        // By the clock of whoever accepted it; should that be wrong, what was read this moment waits its time and no longer.
        const leftMs = patient ? Math.min(patienceMs, fact.event.accepted_at + patienceMs - nowMs) : 0;
        if (patient && leftMs + longerMs > 0) staying.push({ fact: fact as Queued, done, untilMs: atMs + leftMs });
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
        late = lateNow;
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
      // What is late now is forgotten at an instant that is known.
      const dueMs = Math.min(first + late.ms, Math.max(first, late.untilMs));
      return Math.max(0, dueMs - monotonic());
    },
    assigned: () => ends.clear(),
  };
}
