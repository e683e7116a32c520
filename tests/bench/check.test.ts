import { expect, test } from 'bun:test';
import { type Ledger, violationsOf } from '../../bench/check.ts';

const sound: Ledger = {
  chargedRials: 10_000,
  accepted: 3,
  acceptedRials: 2_670,
  lostMessages: 0,
  excused: { failed: 0, refundedRials: 0 },
  redis: { toppedUp: 10_000, held: 0, posted: 2_670, openHolds: 0 },
  unbalanced: [],
  rows: { sent: 2, delivered: 1 },
  totals: { sent: 2, delivered: 1 },
  rowsPostedRials: 2_670,
  perhapsSent: 0,
  operators: { accepted: 3, doubled: 0 },
};

test('books that add up have no violation', () => {
  expect(violationsOf(sound, false)).toEqual([]);
  expect(violationsOf(sound, true)).toEqual([]);
});

const BROKEN: [string, Partial<Ledger>][] = [
  ['an account whose audit is not balanced', { unbalanced: ['bench-001'] }],
  ['a top-up that is not in Redis', { chargedRials: 20_000 }],
  ['a hold that stays open', { redis: { ...sound.redis, openHolds: 1, held: 890 } }],
  ['a message without a final status', { rows: { sent: 2, queued: 1 }, totals: { sent: 2, queued: 1 } }],
  ['a 202 without a row', { accepted: 4 }],
  ['a row without a 202', { rows: { sent: 4 }, totals: { sent: 4 } }],
  ['totals that are not those of the rows', { totals: { sent: 3 } }],
  ["a row's posted amount that Redis does not have", { rowsPostedRials: 1_780 }],
  ['a message that an operator accepted twice', { operators: { accepted: 4, doubled: 1 } }],
  ['a message that is sent and that no operator has', { operators: { accepted: 2, doubled: 0 } }],
];
for (const [what, change] of BROKEN) {
  test(`${what} is a violation, with faults and without`, () => {
    expect(violationsOf({ ...sound, ...change }, false)).not.toEqual([]);
    expect(violationsOf({ ...sound, ...change }, true)).not.toEqual([]);
  });
}

const FAILED: Partial<Ledger> = {
  rows: { sent: 2, failed: 1 },
  totals: { sent: 2, failed: 1 },
  rowsPostedRials: 1_780,
  redis: { ...sound.redis, posted: 1_780 },
  operators: { accepted: 2, doubled: 0 },
};

test('a message may fail, refunded, only where a scenario made faults', () => {
  expect(violationsOf({ ...sound, ...FAILED }, false)).not.toEqual([]);
  expect(violationsOf({ ...sound, ...FAILED }, true)).toEqual([]);
});

test('what failed in an earlier scenario with faults is excused, and not one message more', () => {
  const excused = { failed: 1, refundedRials: 890 };
  expect(violationsOf({ ...sound, ...FAILED, excused }, false)).toEqual([]);
  expect(violationsOf({ ...sound, ...FAILED, excused: { failed: 0, refundedRials: 0 } }, false)).not.toEqual([]);
  expect(violationsOf({ ...sound, excused }, false)).not.toEqual([]);
});

test('an acceptance that nobody was told of is right only where the row says perhaps sent', () => {
  const extra = { ...sound, ...FAILED, operators: { accepted: 3, doubled: 0 } };
  expect(violationsOf(extra, true)).not.toEqual([]);
  expect(violationsOf({ ...extra, perhapsSent: 1 }, true)).toEqual([]);
});

test('a lost answer may be a message or none', () => {
  const lost = { ...sound, accepted: 2, acceptedRials: 1_780, lostMessages: 1 };
  expect(violationsOf(lost, false)).toEqual([]);
  expect(violationsOf({ ...lost, lostMessages: 0 }, false)).not.toEqual([]);
});
