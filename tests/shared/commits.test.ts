import { expect, test } from 'bun:test';
import { createCommits } from '../../shared/commits.ts';
import { doneOffset, openOffset } from '../../shared/watermark.ts';
import { quiet } from '../billing/own-redis.ts';

type Offset = { topic: string; partition: number; offset: string };

/** Commits into a list; the next ones fail while `refuses` is set. */
function rig() {
  const committed: Offset[][] = [];
  const state = { refuses: false, before: 0 };
  const commits = createCommits({
    group: 'g',
    commitOffsets: async (offsets) => {
      if (state.refuses) throw new Error('the group has moved on');
      committed.push(offsets);
    },
    beforeCommit: () => {
      state.before += 1;
    },
    log: quiet,
  });
  return { commits, committed, state };
}

test('what is done up to the first that is not is committed, partition by partition, and only what moved', async () => {
  const { commits, committed, state } = rig();
  // A topic's name may hold what stands between it and the partition.
  const one = commits.markOf('a/b', 12);
  const two = commits.markOf('a/b', 1);
  for (const offset of [5, 6, 7]) openOffset(one, offset);
  openOffset(two, 40);
  doneOffset(one, 5);
  doneOffset(one, 7);
  await commits.stop();
  expect(committed).toEqual([[{ topic: 'a/b', partition: 12, offset: '6' }]]);
  await commits.stop();
  expect([committed.length, state.before]).toEqual([1, 1]);
  doneOffset(one, 6);
  doneOffset(two, 40);
  await commits.stop();
  expect(committed[1]).toEqual([
    { topic: 'a/b', partition: 12, offset: '8' },
    { topic: 'a/b', partition: 1, offset: '41' },
  ]);
});

test('a commit that failed is made again with the next', async () => {
  const { commits, committed, state } = rig();
  const mark = commits.markOf('t', 0);
  openOffset(mark, 1);
  doneOffset(mark, 1);
  state.refuses = true;
  await commits.stop();
  expect(committed).toEqual([]);
  state.refuses = false;
  await commits.stop();
  expect(committed).toEqual([[{ topic: 't', partition: 0, offset: '2' }]]);
});

test('what was in flight before the group was joined again commits nothing: it comes once more', async () => {
  const { commits, committed } = rig();
  const before = commits.markOf('t', 0);
  openOffset(before, 1);
  commits.rejoined();
  doneOffset(before, 1);
  await commits.stop();
  expect(committed).toEqual([]);
  const now = commits.markOf('t', 0);
  expect(now).not.toBe(before);
  openOffset(now, 1);
  doneOffset(now, 1);
  await commits.stop();
  expect(committed).toEqual([[{ topic: 't', partition: 0, offset: '2' }]]);
});
