import { expect, test } from 'bun:test';
import { type CoalesceOptions, coalesce, URGENT_OVERLAP_MS } from '../../shared/coalesce.ts';

type Call = { items: number[]; finish: () => void; fail: (reason: Error) => void };

/** A worker whose batches end when the test says so. */
function rig(options: CoalesceOptions<number>) {
  const calls: Call[] = [];
  const add = coalesce<number, number>(
    (items) =>
      new Promise((resolve, reject) => {
        calls.push({ items, finish: () => resolve(items.map((n) => n * 10)), fail: reject });
      }),
    { overlapMs: 60_000, ...options },
  );
  return { add, calls };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const turns = async (count = 3): Promise<void> => {
  for (let i = 0; i < count; i += 1) await turn();
};

test('a lone item goes at once and alone', async () => {
  const { add, calls } = rig({ batchMax: 10 });
  const answer = add(1);
  await turns();
  expect(calls.map(({ items }) => items)).toEqual([[1]]);
  calls[0]?.finish();
  expect(await answer).toBe(10);
});

test('everything that arrives while a batch is in flight is the next batch, answered in order', async () => {
  const { add, calls } = rig({ batchMax: 10 });
  const answers = [add(1)];
  await turns();
  answers.push(add(2), add(3));
  await turns();
  answers.push(add(4));
  await turns();
  expect(calls.length).toBe(1);
  calls[0]?.finish();
  await answers[0];
  await turns();
  expect(calls[1]?.items).toEqual([2, 3, 4]);
  calls[1]?.finish();
  expect(await Promise.all(answers)).toEqual([10, 20, 30, 40]);
});

test('a batch never weighs more than its bound, except for one item that is heavier by itself', async () => {
  const { add, calls } = rig({ batchMax: 5, weigh: (n) => n });
  const answers = [2, 2, 2, 9, 1].map((n) => add(n));
  for (let done = 0; done < 4; done += 1) {
    await turns();
    calls[done]?.finish();
  }
  expect(await Promise.all(answers)).toEqual([20, 20, 20, 90, 10]);
  expect(calls.map(({ items }) => items)).toEqual([[2, 2], [2], [9], [1]]);
});

test('one hung call does not freeze everybody: a second batch starts after overlapMs, and no more than inflightMax', async () => {
  const { add, calls } = rig({ batchMax: 10, overlapMs: 5, inflightMax: 2 });
  const first = add(1);
  await turns();
  const second = add(2);
  const until = performance.now() + 2_000;
  while (calls.length < 2 && performance.now() < until) await turn();
  expect(calls[1]?.items).toEqual([2]);
  const third = add(3);
  await turns(20);
  expect(calls.length).toBe(2);
  calls[1]?.finish();
  expect(await second).toBe(20);
  const bound = performance.now() + 2_000;
  while (calls.length < 3 && performance.now() < bound) await turn();
  calls[2]?.finish();
  calls[0]?.finish();
  expect(await Promise.all([first, third])).toEqual([10, 30]);
});

test('a failure is the failure of its own batch alone', async () => {
  const { add, calls } = rig({ batchMax: 10 });
  const lost = add(1).catch((thrown: Error) => thrown.message);
  await turns();
  const kept = add(2);
  calls[0]?.fail(new Error('gone'));
  expect(await lost).toBe('gone');
  await turns();
  calls[1]?.finish();
  expect(await kept).toBe(20);
});

test('an answer with another count of results is a failure, not a mix-up', async () => {
  const add = coalesce<number, number>(async () => [1], { batchMax: 10 });
  const answers = await Promise.allSettled([add(1), add(2)]);
  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
});

test('idle resolves when nothing waits and nothing is in flight', async () => {
  const { add, calls } = rig({ batchMax: 1 });
  await add.idle();
  const answers = [add(1), add(2)];
  let idle = false;
  const waited = add.idle().then(() => {
    idle = true;
  });
  await turns();
  calls[0]?.finish();
  await answers[0];
  await turns();
  expect(idle).toBe(false);
  calls[1]?.finish();
  await waited;
  expect(await Promise.all(answers)).toEqual([10, 20]);
});

test('a pace keeps batches apart, and a lone item after a quiet time pays nothing for it', async () => {
  const { add, calls } = rig({ batchMax: 10, paceMs: 60 });
  const began = performance.now();
  const first = add(1);
  await turns();
  expect(calls.map(({ items }) => items)).toEqual([[1]]);
  calls[0]?.finish();
  await first;
  const rest = [add(2), add(3)];
  await turns();
  expect(calls.length).toBe(1);
  while (calls.length === 1) await turn();
  expect(performance.now() - began).toBeGreaterThanOrEqual(59);
  expect(calls[1]?.items).toEqual([2, 3]);
  calls[1]?.finish();
  await Promise.all(rest);
});

test('an urgent item is not held up by the pace, and takes along what waits', async () => {
  const { add, calls } = rig({ batchMax: 10, paceMs: 60_000, urgent: (n) => n >= 100 });
  const first = add(1);
  await turns();
  calls[0]?.finish();
  await first;
  const rest = [add(2), add(100)];
  await turns();
  expect(calls[1]?.items).toEqual([2, 100]);
  calls[1]?.finish();
  await Promise.all(rest);
  // The hurry ends with its item.
  void add(3);
  await turns();
  expect(calls.length).toBe(2);
});

test('an urgent item that a full batch leaves behind goes right after it', async () => {
  const { add, calls } = rig({ batchMax: 2, paceMs: 60_000, urgent: (n) => n >= 100 });
  const all = [add(1), add(2), add(100)];
  await turns();
  calls[0]?.finish();
  await turns();
  calls[1]?.finish();
  await Promise.all(all);
  expect(calls.map(({ items }) => items)).toEqual([[1, 2], [100]]);
});

test('an urgent item waits for no long call either, nor for the patience of what waited before it', async () => {
  const { add, calls } = rig({ batchMax: 10, urgent: (n) => n >= 100 });
  const answers = [add(1)];
  await turns();
  answers.push(add(2), add(100));
  const bound = performance.now() + 2_000;
  while (calls.length < 2 && performance.now() < bound) await turn();
  expect(calls[1]?.items).toEqual([2, 100]);
  // Without one in a hurry what comes waits for its patience again.
  answers.push(add(3));
  const later = performance.now() + 5 * URGENT_OVERLAP_MS;
  while (performance.now() < later) await turn();
  expect(calls.length).toBe(2);
  calls[1]?.finish();
  await answers[1];
  calls[0]?.finish();
  await turns();
  calls[2]?.finish();
  expect(await Promise.all(answers)).toEqual([10, 20, 1_000, 30]);
});
