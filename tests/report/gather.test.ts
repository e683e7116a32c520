import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Fact } from '../../report/events.ts';
import { type Arrived, createGathering } from '../../report/gather.ts';
import { newId } from '../../shared/id.ts';

const PATIENCE_MS = 1_000;
const IN_TIME_MS = 500;
const LANE = 'sms-normal';
const STATUS = 'sms-status';

/** A gathering on a clock of its own. */
function world(waitingMax = 100) {
  let atMs = 1_800_000_000_000;
  const doneOffsets: string[] = [];
  const gathering = createGathering({
    patienceMs: PATIENCE_MS,
    inTimeMs: IN_TIME_MS,
    waitingMax,
    now: () => atMs,
    monotonic: () => atMs,
  });
  const arrived = (topic: string, partition: number, facts: Fact[], agoMs = 0): Arrived => ({
    topic,
    partition,
    facts,
    producedMs: atMs - agoMs,
    done: (offset) => doneOffsets.push(`${topic}/${partition}@${offset}`),
  });
  const queued = (offset: number, id = newId(), acceptedMs = atMs, partition = 0) =>
    ({ topic: LANE, partition, offset, kind: 'message', event: { id, accepted_at: acceptedMs } }) as unknown as Fact;
  const decided = (offset: number, id: string) =>
    ({ topic: STATUS, partition: 0, offset, kind: 'status', event: { id } }) as unknown as Fact;
  return { gathering, arrived, queued, decided, doneOffsets, pass: (ms: number) => (atMs += ms), now: () => atMs };
}

const offsetsOf = (facts: readonly Fact[]): string[] => facts.map(({ topic, offset }) => `${topic}@${offset}`);

describe('gathering', () => {
  test('a message and its outcome that come within the patience are one write', () => {
    const { gathering, arrived, queued, decided, pass } = world();
    const id = newId();
    const first = gathering.take([arrived(LANE, 0, [queued(7, id)])], false);
    expect(first.facts).toEqual([]);
    first.written();
    pass(PATIENCE_MS / 2);
    const second = gathering.take([arrived(STATUS, 0, [decided(3, id)])], false);
    expect(offsetsOf(second.facts)).toEqual([`${LANE}@7`, `${STATUS}@3`]);
    expect(second.reached).toEqual([
      { topic: STATUS, partition: 0, next: 4 },
      { topic: LANE, partition: 0, next: 8 },
    ]);
  });

  test('a message whose outcome does not come is written once its patience has passed since its acceptance', () => {
    const { gathering, arrived, queued, pass, now } = world();
    const late = now() - PATIENCE_MS + 200;
    gathering.take([arrived(LANE, 0, [queued(1, newId(), late)])], false).written();
    expect(gathering.dueInMs()).toBe(200);
    pass(199);
    expect(gathering.take([], false).facts).toEqual([]);
    pass(1);
    const due = gathering.take([], false);
    expect(offsetsOf(due.facts)).toEqual([`${LANE}@1`]);
    expect(due.reached).toEqual([{ topic: LANE, partition: 0, next: 2 }]);
    due.written();
    expect(gathering.dueInMs()).toBeNull();
  });

  test('what was accepted long ago waits for nothing, and an acceptance in the future for no longer than the patience', () => {
    const { gathering, arrived, queued, now } = world();
    const facts = [queued(1, newId(), now() - 60_000), queued(2, newId(), now() + 60_000)];
    const due = gathering.take([arrived(LANE, 0, facts)], false);
    expect(offsetsOf(due.facts)).toEqual([`${LANE}@1`]);
    due.written();
    expect(gathering.dueInMs()).toBe(PATIENCE_MS);
  });

  test('while outcomes are read late, what has none waits for as much longer, and so does what waits already', () => {
    const { gathering, arrived, queued, decided, pass, now } = world();
    gathering.take([arrived(LANE, 0, [queued(1)])], false).written();
    pass(PATIENCE_MS - 1);
    const newest = [arrived(STATUS, 0, [decided(1, newId())], 9_000), arrived(STATUS, 1, [decided(1, newId())], 2_500)];
    const late = 2_500 - IN_TIME_MS;
    gathering.take([...newest, arrived(LANE, 0, [queued(2, newId(), now() - PATIENCE_MS)])], false).written();
    expect(gathering.dueInMs()).toBe(late);
    pass(late - 1);
    expect(gathering.take([], false).facts).toEqual([]);
    pass(1);
    expect(offsetsOf(gathering.take([], false).facts)).toEqual([`${LANE}@2`]);
    pass(1);
    expect(offsetsOf(gathering.take([], false).facts)).toEqual([`${LANE}@1`, `${LANE}@2`]);
  });

  test('outcomes that are read in time again, or have not come for three seconds, keep nothing waiting', () => {
    for (const end of ['in time', 'none'] as const) {
      const { gathering, arrived, queued, decided, pass } = world();
      gathering
        .take([arrived(LANE, 0, [queued(1)]), arrived(STATUS, 0, [decided(1, newId())], 60_000)], false)
        .written();
      expect(gathering.dueInMs()).toBe(3_000);
      pass(2_999);
      expect(gathering.take([], false).facts).toEqual([]);
      if (end === 'none') pass(1);
      const again = end === 'in time' ? [arrived(STATUS, 0, [decided(2, newId())], IN_TIME_MS)] : [];
      expect(offsetsOf(gathering.take(again, false).facts)).toContain(`${LANE}@1`);
    }
  });

  test('what a failed write had seen of outcomes is not kept', () => {
    const { gathering, arrived, queued, decided } = world();
    gathering.take([arrived(LANE, 0, [queued(1)])], false).written();
    gathering.take([arrived(STATUS, 0, [decided(1, newId())], 5_000)], false);
    expect(gathering.dueInMs()).toBe(PATIENCE_MS);
  });

  test('a record is told as done once it is written and not before', () => {
    const { gathering, arrived, queued, decided, doneOffsets } = world();
    const id = newId();
    gathering.take([arrived(LANE, 0, [queued(1, id), queued(2)])], false).written();
    const due = gathering.take([arrived(STATUS, 0, [decided(1, id)])], false);
    expect(doneOffsets).toEqual([]);
    due.written();
    expect(doneOffsets).toEqual([`${LANE}/0@1`, `${STATUS}/0@1`]);
  });

  test('a write that failed is as if it had not been tried', () => {
    const { gathering, arrived, queued, decided, pass } = world();
    const id = newId();
    gathering.take([arrived(LANE, 0, [queued(1, id)])], false).written();
    gathering.take([arrived(STATUS, 0, [decided(1, id)])], false);
    expect(gathering.take([], false).facts).toEqual([]);
    const again = gathering.take([arrived(STATUS, 0, [decided(1, id)])], false);
    expect(offsetsOf(again.facts)).toEqual([`${LANE}@1`, `${STATUS}@1`]);
    pass(PATIENCE_MS);
    expect(offsetsOf(gathering.take([], false).facts)).toEqual([`${LANE}@1`]);
  });

  test('past the bound, and when everything is asked for, nothing waits', () => {
    const { gathering, arrived, queued } = world(2);
    gathering.take([arrived(LANE, 0, [queued(1), queued(2), queued(3)])], false).written();
    const due = gathering.take([arrived(LANE, 1, [queued(1, newId(), undefined, 1)])], false);
    expect(due.facts).toHaveLength(4);
    due.written();
    gathering.take([arrived(LANE, 0, [queued(4)])], false).written();
    expect(gathering.take([], true).facts).toHaveLength(1);
  });

  test('after an assignment a record that waited moves no offset: where its partition stands may be another place by then', () => {
    const { gathering, arrived, queued, pass } = world();
    gathering.take([arrived(LANE, 0, [queued(100), queued(101, newId(), 0)])], false).written();
    gathering.assigned();
    pass(PATIENCE_MS);
    const due = gathering.take([], false);
    expect(offsetsOf(due.facts)).toEqual([`${LANE}@100`]);
    expect(due.reached).toEqual([]);
  });

  test('an offset never passes a record that is not written, and all of them are passed in the end', () => {
    const step = fc.record({
      /** How many messages come, of which partition, how many of those under way are decided, whether the write fails. */
      come: fc.nat(4),
      partition: fc.nat(1),
      decided: fc.nat(3),
      ms: fc.nat(600),
      fails: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { gathering, arrived, queued, decided, pass } = world(8);
        const read = new Map<string, number>();
        const written = new Set<string>();
        const stands = new Map<string, number>();
        const open: string[] = [];
        const key = (fact: { topic: string; partition: number }) => `${fact.topic}/${fact.partition}`;
        const next = (topic: string, partition: number): number => read.get(`${topic}/${partition}`) ?? 0;
        const write = (batches: Arrived[], fails: boolean, everything = false): boolean => {
          const due = gathering.take(batches, everything);
          if (fails) return false;
          for (const fact of due.facts) written.add(`${key(fact)}@${fact.offset}`);
          for (const one of due.reached) {
            stands.set(key(one), Math.max(stands.get(key(one)) ?? 0, one.next));
            for (let offset = 0; offset < one.next; offset += 1)
              expect(written.has(`${key(one)}@${offset}`)).toBe(true);
          }
          due.written();
          return true;
        };
        for (const { come, partition, decided: outcomes, ms, fails } of steps) {
          pass(ms);
          const ids = Array.from({ length: come }, () => newId());
          const from = next(LANE, partition);
          const lane = ids.map((id, i) => queued(from + i, id, undefined, partition));
          const told = open.slice(0, outcomes);
          const statusFrom = next(STATUS, 0);
          const status = told.map((id, i) => decided(statusFrom + i, id));
          if (!write([arrived(LANE, partition, lane), arrived(STATUS, 0, status)], fails)) continue;
          read.set(`${LANE}/${partition}`, from + come);
          read.set(`${STATUS}/0`, statusFrom + told.length);
          open.splice(0, told.length);
          open.push(...ids);
        }
        write([], false, true);
        for (const [partition, end] of read) expect(stands.get(partition) ?? 0).toBe(end);
      }),
    );
  });
});
