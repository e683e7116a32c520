import { expect, test } from 'bun:test';
import { createFullness } from '../../dispatcher/fullness.ts';

test('a full queue pauses its reader, which is told once, when the queue is less than half full', () => {
  const told: string[] = [];
  const fullness = createFullness(10, (queue) => told.push(queue));
  expect([9, 10, 11].map((length) => fullness.pausedBy('MCI/normal', length))).toEqual([
    null,
    'MCI/normal',
    'MCI/normal',
  ]);
  for (const length of [10, 6, 5]) fullness.drained('MCI/normal', length);
  expect(told).toEqual([]);
  fullness.drained('MTN/normal', 0);
  fullness.drained('MCI/normal', 4);
  fullness.drained('MCI/normal', 0);
  expect(told).toEqual(['MCI/normal']);
  fullness.pausedBy('MCI/normal', 10);
  fullness.drained('MCI/normal', 0);
  expect(told).toHaveLength(2);
});

test('a queue brims at eight times its bound: by then its reader was told long ago and went on', () => {
  const fullness = createFullness(10, () => undefined);
  expect([79, 80].map((length) => fullness.brims(length))).toEqual([false, true]);
});
