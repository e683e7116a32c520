import { expect, test } from 'bun:test';
import { createPauses } from '../../shared/pauses.ts';
import { quiet } from '../billing/own-redis.ts';

type Partitions = { topic: string; partitions?: number[] };

/** A consumer that tells what it was told; while it is away it takes neither. */
function rig() {
  const told: [string, Partitions[]][] = [];
  const state = { away: false };
  const take = (what: string) => (which: Partitions[]) => {
    if (state.away) throw new Error('Consumer group was not initialized');
    told.push([what, which]);
  };
  const consumer = { pause: take('pause'), resume: take('resume') };
  return { pauses: createPauses(consumer, 'g', ['a', 'b'], quiet), told, state };
}

test('a consumer that joined again has forgotten its pauses: those that stand are said again', () => {
  const { pauses, told } = rig();
  pauses.pause('a', 1);
  pauses.pause('a', 2);
  pauses.pause('b', 1);
  pauses.resume('a', 1);
  told.length = 0;
  pauses.rejoined();
  expect(told).toEqual([
    [
      'pause',
      [
        { topic: 'a', partitions: [2] },
        { topic: 'b', partitions: [1] },
      ],
    ],
  ]);
});

test('what is said while the consumer is away holds once it is back', () => {
  const { pauses, told, state } = rig();
  pauses.pause('a', 1);
  state.away = true;
  pauses.pause('b', 7);
  pauses.resume('a', 1);
  state.away = false;
  told.length = 0;
  pauses.rejoined();
  expect(told).toEqual([['pause', [{ topic: 'b', partitions: [7] }]]]);
});

test('once halted nothing is resumed any more, whoever asks and whatever is joined', () => {
  const { pauses, told } = rig();
  const whole = ['pause', [{ topic: 'a' }, { topic: 'b' }]];
  pauses.pause('a', 1);
  pauses.halt();
  expect([pauses.halted, told.at(-1)]).toEqual([true, whole] as never);
  pauses.resume('a', 1);
  pauses.rejoined();
  expect(told.filter(([what]) => what === 'resume')).toEqual([]);
  expect(told.at(-1)).toEqual(whole as never);
});
