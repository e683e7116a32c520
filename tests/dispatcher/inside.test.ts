import { expect, test } from 'bun:test';
import { createInside } from '../../dispatcher/inside.ts';
import type { Work } from '../../dispatcher/work.ts';

function rig() {
  const done: string[] = [];
  const work = (record: string, id = 'm', attempt = 1): Work =>
    ({ event: { id }, attempt, claim: 0, done: () => void done.push(record) }) as never;
  return { inside: createInside(), work, done };
}

test('an attempt is here once: its further records are done when it is, and not before', () => {
  const { inside, work, done } = rig();
  const first = work('first');
  expect(inside.enter(first)).toBe(true);
  expect([inside.enter(work('second')), inside.enter(work('third'))]).toEqual([false, false]);
  expect(done).toEqual([]);
  inside.leave(first);
  expect(done).toEqual(['first', 'second', 'third']);
  inside.leave(first);
  expect(done).toHaveLength(3);
});

test('another message and another attempt are others', () => {
  const { inside, work } = rig();
  expect([work('1'), work('2', 'n'), work('3', 'm', 2)].map(inside.enter)).toEqual([true, true, true]);
});

test('what steps outside may come in again, and its earlier records are done at the end of the step', () => {
  const { inside, work, done } = rig();
  const first = work('first');
  inside.enter(first);
  inside.enter(work('second'));
  const end = inside.step(first);
  expect(inside.enter(work('again'))).toBe(true);
  end();
  expect(done).toEqual(['first', 'second']);
  inside.leave(first);
  expect(done).toEqual(['first', 'second', 'again']);
});
