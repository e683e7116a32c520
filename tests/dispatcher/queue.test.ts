import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { createFifo, createHeap, createLaneQueue } from '../../dispatcher/queue.ts';
import { LANES, type Lane } from '../../shared/topics.ts';

test('a fifo is an array that is pushed and shifted, and whose first can be looked at', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constant('shift' as const), fc.record({ push: fc.nat() })), { maxLength: 2_000 }),
      (steps) => {
        const fifo = createFifo<number>();
        const model: number[] = [];
        for (const step of steps) {
          if (step === 'shift') expect(fifo.shift()).toBe(model.shift());
          else {
            fifo.push(step.push);
            model.push(step.push);
          }
          expect([fifo.length, fifo.first]).toEqual([model.length, model[0]]);
        }
      },
    ),
    { numRuns: 100 },
  );
});

const ANY = (): boolean => true;
const NONE = (): boolean => false;

const filled = (counts: Record<Lane, number>) => {
  const queue = createLaneQueue<string>((a, b) => a < b);
  for (const lane of LANES) for (let i = 0; i < counts[lane]; i += 1) queue.push(lane, `${lane}${i}`);
  return queue;
};

test('express goes first, always', () => {
  const queue = filled({ express: 3, normal: 10, bulk: 10 });
  expect([1, 2, 3, 4].map(() => queue.take(ANY)?.lane)).toEqual([
    'express',
    'express',
    'express',
    expect.not.stringMatching('express'),
  ]);
});

test('when the others have used their part of the window only express may go', () => {
  const queue = filled({ express: 1, normal: 5, bulk: 5 });
  expect(queue.take(NONE)?.lane).toBe('express');
  expect(queue.take(NONE)).toBeNull();
  expect(queue.length).toBe(10);
});

test('the lower lane keeps a fifth beside normal, and gets everything when nobody else waits', () => {
  const queue = filled({ express: 0, normal: 80, bulk: 100 });
  const first = Array.from({ length: 100 }, () => queue.take(ANY)?.lane);
  expect(first.filter((lane) => lane === 'bulk')).toHaveLength(20);
  expect(queue.lengthOf('normal')).toBe(0);
  expect(queue.take(ANY)?.lane).toBe('bulk');
});

test('the next of the others is looked at before it goes, and stays the next where it may not', () => {
  const queue = filled({ express: 0, normal: 20, bulk: 20 });
  const seen: string[] = [];
  for (let i = 0; i < 20; i += 1) {
    const looked: string[] = [];
    expect(queue.take((item) => looked.push(item) === 0)).toBeNull();
    expect(queue.take(ANY)?.item).toBe(looked[0] as string);
    seen.push(looked[0] as string);
  }
  expect(seen.filter((item) => item.startsWith('bulk'))).toHaveLength(4);
});

test('within a lane the oldest goes first, whatever order they came in, also one that is put back', () => {
  const queue = createLaneQueue<number>((a, b) => a < b);
  for (const age of [7, 3, 9, 1, 5]) queue.push('normal', age);
  const first = queue.take(ANY);
  queue.push('normal', first?.item as number);
  expect(Array.from({ length: 5 }, () => queue.take(ANY)?.item)).toEqual([1, 3, 5, 7, 9]);
});

test('a heap is a list that is sorted after each push', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constant('shift' as const), fc.nat({ max: 50 })), { maxLength: 500 }), (steps) => {
      const heap = createHeap<number>((a, b) => a < b);
      let model: number[] = [];
      for (const step of steps) {
        if (step === 'shift') expect(heap.shift()).toBe(model.shift());
        else {
          heap.push(step);
          model = [...model, step].sort((a, b) => a - b);
        }
        expect(heap.length).toBe(model.length);
      }
    }),
    { numRuns: 200 },
  );
});
