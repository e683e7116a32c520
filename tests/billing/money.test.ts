import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { readBalance } from '../../billing/accounts.ts';
import { hold } from '../../billing/messages.ts';
import { TIMES } from '../../billing/scripts.ts';
import { ClaimCode, HoldCode, HoldOutcome, Outcome } from '../../shared/billing.ts';
import type { AppError } from '../../shared/error.ts';
import { newId } from '../../shared/id.ts';
import { AMOUNT_MAX_RIALS, TOTAL_MAX_RIALS } from '../../shared/money.ts';
import { assertCoherent } from '../support/coherence.ts';
import { until } from '../support/poll.ts';
import { SHARDS, tagOf } from '../support/shards.ts';
import { type Calls, callsOn } from './calls.ts';
import { dumpOf, type OwnRedis, startOwnRedis } from './own-redis.ts';

let own: OwnRedis;
let billing: Calls;
beforeAll(async () => {
  own = await startOwnRedis();
  billing = callsOn(own.redis, { retryWaitsMs: [1, 1, 1] });
});
afterAll(() => own.close());
beforeEach(async () => {
  await own.redis.flushdb();
});

const balance = (user: string) => readBalance(own.redis, SHARDS, user);
const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'no error',
    (thrown) => (thrown as AppError).code,
  );

test('two sends at one moment cannot spend the same Rial', async () => {
  await billing.topUp('a', 1_000);
  const replies = await Promise.all(
    Array.from({ length: 50 }, () => billing.hold({ user: 'a', items: [{ price: 90 }] })),
  );
  const codes = replies.map(([reply]) => reply?.codes[0]);
  expect(codes.filter((code) => code === HoldCode.OK)).toHaveLength(11);
  expect(codes.filter((code) => code === HoldCode.INSUFFICIENT)).toHaveLength(39);
  expect(await balance('a')).toEqual({ available: 10, held: 990, posted: 0, topped_up: 1_000, open: 11 });
  await assertCoherent(own.url);
});

test('sends of one call cannot spend the same Rial either, across groups and items', async () => {
  await billing.topUp('a', 100);
  const [first, second] = await billing.hold(
    { user: 'a', items: [{ price: 60 }, { price: 60 }, { price: 30 }] },
    { user: 'a', items: [{ price: 20 }, { price: 10 }] },
  );
  expect(first?.codes).toEqual([HoldCode.OK, HoldCode.INSUFFICIENT, HoldCode.OK]);
  expect(second?.codes).toEqual([HoldCode.INSUFFICIENT, HoldCode.OK]);
  expect([first?.open, second?.open]).toEqual([2, 3]);
  expect(await balance('a')).toMatchObject({ available: 0, held: 100 });
  await assertCoherent(own.url);
});

test('all of a balance can be spent, to the last Rial', async () => {
  await billing.topUp('a', 77);
  const id = newId();
  expect((await billing.hold({ user: 'a', items: [{ id, price: 77 }] }))[0]?.codes).toEqual([HoldCode.OK]);
  expect((await billing.claim('a', id)).code).toBe(ClaimCode.CLAIMED);
  expect((await billing.settle('a', id, { outcome: Outcome.SENT })).applied).toBe(true);
  expect(await balance('a')).toEqual({ available: 0, held: 0, posted: 77, topped_up: 77, open: 0 });
  await assertCoherent(own.url);
});

test('a refused hold leaves nothing: of its message, its key, its account or anything else', async () => {
  await billing.topUp('a', 100);
  await billing.hold({ user: 'a', items: [{ price: 40 }] });
  const before = await dumpOf(own.redis);
  const stale = newId(Date.now() - TIMES.idAgeMaxMs - 1_000);
  const ahead = newId(Date.now() + TIMES.idAgeMaxMs + 1_000);
  const replies = await billing.hold(
    { user: 'a', items: [{ price: 61 }], key: 'k', hash: 'h' },
    {
      user: 'a',
      items: [
        { id: stale, price: 1 },
        { id: ahead, price: 1 },
      ],
      key: 'l',
      hash: 'h',
      batch: 'b',
    },
    { user: 'nobody', items: [{ price: 1 }], key: 'k', hash: 'h' },
  );
  expect(replies.map(({ codes }) => codes)).toEqual([
    [HoldCode.INSUFFICIENT],
    [HoldCode.STALE, HoldCode.STALE],
    [HoldCode.INSUFFICIENT],
  ]);
  billing.refuse('full');
  const overloaded = await billing.hold({ user: 'a', items: [{ price: 1 }] }).finally(() => billing.refuse(null));
  expect(overloaded[0]?.outcome).toBe(HoldOutcome.OVERLOADED);
  expect(await dumpOf(own.redis)).toEqual(before);
});

test("a caller's fault cannot make money: what is no id, price, instant or event refuses the whole call", async () => {
  await billing.topUp('a', 100);
  const before = await dumpOf(own.redis);
  const item = { message_id: newId(), price: 10, valid_until: 1_900_000_000_000, event: Buffer.from('{}'), answer: '' };
  const group = { user_id: 'a', idempotency_key: '', body_hash: '', batch_id: '', refused: '', items: [item] };
  const faults = [
    { items: [{ ...item, price: -10 }] },
    { items: [{ ...item, price: 0 }] },
    { items: [{ ...item, price: 1.5 }] },
    { items: [{ ...item, price: 1e15 }] },
    { items: [{ ...item, price: 2 ** 53 }] },
    { items: [{ ...item, message_id: 'x' }] },
    { items: [{ ...item, valid_until: -1 }] },
    { items: [{ ...item, valid_until: Number.NaN }] },
    { items: [item, { ...item, price: Number.NaN }] },
    { items: [{ ...item, event: Buffer.alloc(0) }] },
    { user_id: '' },
    { user_id: 'a:b' },
  ];
  for (const fault of faults) {
    const call = hold(billing.deps, { groups: [group, { ...group, ...fault }], produced: [] });
    expect(await codeOf(call)).toBe('invalid_request');
  }
  expect(await dumpOf(own.redis)).toEqual(before);
});

test('the same hold twice holds once', async () => {
  await billing.topUp('a', 100);
  const group = { user: 'a', items: [{ id: newId(), price: 30 }] };
  for (const _ of [1, 2, 3]) expect((await billing.hold(group))[0]?.codes).toEqual([HoldCode.OK]);
  expect(await balance('a')).toMatchObject({ available: 70, held: 30, open: 1 });
  await assertCoherent(own.url);
});

test('a known key replays the first answer and holds nothing; with another body it is a conflict', async () => {
  await billing.topUp('a', 100);
  const id = newId();
  await billing.hold({ user: 'a', items: [{ id, price: 30 }], key: 'k', hash: 'h', batch: 'first' });
  const before = await dumpOf(own.redis);
  const [again, other, elsewhere] = await billing.hold(
    { user: 'a', items: [{ price: 30 }], key: 'k', hash: 'h', batch: 'second' },
    { user: 'a', items: [{ price: 30 }], key: 'k', hash: 'H' },
    { user: 'b', items: [{ price: 30 }], key: 'k', hash: 'h' },
  );
  expect(again).toMatchObject({ outcome: HoldOutcome.REPLAYED, answers: [`answer of ${id}`], batch_id: 'first' });
  expect(other).toMatchObject({ outcome: HoldOutcome.CONFLICT, answers: [] });
  expect(elsewhere).toMatchObject({ outcome: HoldOutcome.HELD, codes: [HoldCode.INSUFFICIENT] });
  expect(await dumpOf(own.redis)).toEqual(before);
});

test('a key whose send was refused is free again', async () => {
  await billing.topUp('a', 10);
  const group = { user: 'a', items: [{ price: 30 }], key: 'k', hash: 'h' };
  expect((await billing.hold(group))[0]).toMatchObject({ outcome: HoldOutcome.HELD, codes: [HoldCode.INSUFFICIENT] });
  await billing.topUp('a', 90);
  expect((await billing.hold({ ...group, hash: 'other' }))[0]).toMatchObject({ codes: [HoldCode.OK] });
  await assertCoherent(own.url);
});

test('a batch with refused items replays item by item, though there is money by then', async () => {
  await billing.topUp('a', 50);
  const [x, y, z] = [newId(), newId(), newId()];
  const items = [
    { id: x, price: 30 },
    { id: y, price: 30 },
    { id: z, price: 20 },
  ];
  const first = await billing.hold({ user: 'a', items, key: 'k', hash: 'h' });
  expect(first[0]?.codes).toEqual([HoldCode.OK, HoldCode.INSUFFICIENT, HoldCode.OK]);
  await billing.topUp('a', 1_000);
  const again = items.map(({ price }) => ({ price }));
  const [replay] = await billing.hold({ user: 'a', items: again, key: 'k', hash: 'h' });
  expect(replay).toMatchObject({ outcome: HoldOutcome.REPLAYED, answers: [`answer of ${x}`, '', `answer of ${z}`] });
  expect(await balance('a')).toMatchObject({ held: 50, open: 2 });
  await assertCoherent(own.url);
});

test('keys of sends and of top-ups are two things, whatever they spell', async () => {
  await billing.topUp('a', 100, 'k');
  const group = { user: 'a', items: [{ price: 1 }], hash: 'h' };
  for (const key of ['k', 'topup:k', 'tk:k']) {
    expect((await billing.hold({ ...group, key }))[0]).toMatchObject({
      outcome: HoldOutcome.HELD,
      codes: [HoldCode.OK],
    });
  }
  expect((await billing.topUp('a', 100, 'topup:k')).replayed).toBe(false);
  await assertCoherent(own.url);
});

test('a top-up with a key counts once; the key with another amount is a conflict', async () => {
  const first = await billing.topUp('a', 100, 'k');
  await billing.topUp('a', 7);
  const again = await billing.topUp('a', 100, 'k');
  expect(again).toEqual({ answer: first.answer, replayed: true });
  expect(await codeOf(billing.topUp('a', 101, 'k'))).toBe('idempotency_conflict');
  expect(await codeOf(billing.topUp('a', -100, 'k'))).toBe('idempotency_conflict');
  expect(await balance('a')).toMatchObject({ available: 107, topped_up: 107 });
  await assertCoherent(own.url);
});

test('a correction takes what is available and not a Rial more, and never what is held', async () => {
  await billing.topUp('a', 100);
  await billing.hold({ user: 'a', items: [{ price: 40 }] });
  const before = await dumpOf(own.redis);
  expect(await codeOf(billing.topUp('a', -61))).toBe('insufficient_balance');
  expect(await codeOf(billing.topUp('nobody', -1))).toBe('insufficient_balance');
  expect(await dumpOf(own.redis)).toEqual(before);
  expect((await billing.topUp('a', -60)).answer.available).toBe(0);
  await assertCoherent(own.url);
});

test('amounts of 15 digits are exact, and the total stops at its bound', async () => {
  for (const n of [1, 2, 3, 4, 5, 6, 7, 8]) {
    const { answer } = await billing.topUp('rich', AMOUNT_MAX_RIALS);
    expect(answer.available).toBe(n * AMOUNT_MAX_RIALS);
  }
  const left = TOTAL_MAX_RIALS - 8 * AMOUNT_MAX_RIALS;
  expect(await codeOf(billing.topUp('rich', left + 1))).toBe('invalid_request');
  expect((await billing.topUp('rich', left)).answer.available).toBe(TOTAL_MAX_RIALS);
  expect(await codeOf(billing.topUp('rich', 1))).toBe('invalid_request');
  const id = newId();
  await billing.hold({ user: 'rich', items: [{ id, price: AMOUNT_MAX_RIALS }] });
  await billing.claim('rich', id);
  await billing.settle('rich', id, { outcome: Outcome.SENT, amount: AMOUNT_MAX_RIALS - 1 });
  expect(await own.redis.hgetall(`${tagOf('rich')}:a:rich`)).toEqual({
    available: String(TOTAL_MAX_RIALS - AMOUNT_MAX_RIALS + 1),
    topped_up: String(TOTAL_MAX_RIALS),
    held: '0',
    open: '0',
    posted: String(AMOUNT_MAX_RIALS - 1),
  });
  await assertCoherent(own.url);
});

test('an exact power of ten of 15 digits is written as digits, never as 1e+15', async () => {
  for (const _ of Array(10)) await billing.topUp('a', 100_000_000_000_000);
  expect((await billing.topUp('a', 1)).answer.available).toBe(1_000_000_000_000_001);
  expect(await own.redis.hget(`${tagOf('a')}:a:a`, 'available')).toBe('1000000000000001');
  await billing.topUp('a', -1);
  expect(await own.redis.hget(`${tagOf('a')}:a:a`, 'available')).toBe('1000000000000000');
  const ids = Array.from({ length: 2 }, () => newId());
  await billing.hold({ user: 'a', items: ids.map((id) => ({ id, price: 500_000_000_000_000 })) });
  expect(await own.redis.hget(`${tagOf('a')}:a:a`, 'held')).toBe('1000000000000000');
  for (const id of ids) await billing.claim('a', id);
  for (const id of ids) await billing.settle('a', id, { outcome: Outcome.SENT });
  expect(await own.redis.hget(`${tagOf('a')}:a:a`, 'posted')).toBe('1000000000000000');
  await assertCoherent(own.url);
});

test('a message is submitted at most four times, then it fails and is refunded', async () => {
  await billing.topUp('a', 100);
  const id = newId();
  await billing.hold({ user: 'a', items: [{ id, price: 100 }] });
  const outcomes: string[] = [];
  for (const attempt of [1, 2, 3, 4]) {
    // The waits of this file are 1 ms; Redis' clock may still stand in the same one.
    await until(
      'it may be claimed',
      async () => (await billing.claim('a', id, { attempt })).code === ClaimCode.CLAIMED,
    );
    const { outcome, retry_number } = await billing.settle('a', id, {
      attempt,
      outcome: Outcome.TRANSIENT,
      error: 'busy',
    });
    const { status, dead } = JSON.parse(outcome) as { status: string; dead: boolean };
    outcomes.push(`${status} ${retry_number} ${dead}`);
  }
  expect(outcomes).toEqual(['retrying 1 false', 'retrying 2 false', 'retrying 3 false', 'failed 0 true']);
  expect((await billing.claim('a', id, { attempt: 5 })).code).toBe(ClaimCode.DECIDED);
  expect(await balance('a')).toMatchObject({ available: 100, held: 0, posted: 0 });
  await assertCoherent(own.url);
});

test('the first decision wins: an outcome delivered twice, or another one after it, moves no money', async () => {
  await billing.topUp('a', 100);
  const [sent, failed] = [newId(), newId()];
  await billing.hold({
    user: 'a',
    items: [
      { id: sent, price: 30 },
      { id: failed, price: 20 },
    ],
  });
  for (const id of [sent, failed]) await billing.claim('a', id);
  const first = await billing.settle('a', sent, { outcome: Outcome.SENT, amount: 12 });
  await billing.settle('a', failed, { outcome: Outcome.REJECTED, error: 'invalid_number' });
  const books = await balance('a');
  expect(books).toEqual({ available: 88, held: 0, posted: 12, topped_up: 100, open: 0 });
  for (const outcome of Object.values(Outcome)) {
    const again = await billing.settle('a', sent, { outcome, error: 'other' });
    expect(again).toEqual({ ...first, applied: false });
    expect((await billing.settle('a', failed, { outcome })).applied).toBe(false);
  }
  expect(await balance('a')).toEqual(books);
  await assertCoherent(own.url);
});

test('one message, many dispatchers: one of them may submit it', async () => {
  await billing.topUp('a', 100);
  const id = newId();
  await billing.hold({ user: 'a', items: [{ id, price: 10 }] });
  const owners = Array.from({ length: 20 }, (_, n) => `dispatcher ${n}`);
  const codes = await Promise.all(owners.map(async (owner) => (await billing.claim('a', id, { owner })).code));
  expect(codes.filter((code) => code === ClaimCode.CLAIMED)).toHaveLength(1);
  expect(codes.filter((code) => code === ClaimCode.BUSY)).toHaveLength(19);
  const winner = owners[codes.indexOf(ClaimCode.CLAIMED)] as string;
  const loser = owners.find((owner) => owner !== winner) as string;
  for (const outcome of [Outcome.REJECTED, Outcome.TRANSIENT, Outcome.UNKNOWN, Outcome.RELEASED]) {
    expect((await billing.settle('a', id, { outcome }, loser)).applied).toBe(false);
  }
  expect((await billing.settle('a', id, { outcome: Outcome.REJECTED }, winner)).applied).toBe(true);
  await assertCoherent(own.url);
});

test('a message whose last outcome is confirmed by the very call that claims it again is claimed, and both stand', async () => {
  await billing.topUp('a', 100);
  const id = newId();
  await billing.hold({ user: 'a', items: [{ id, price: 10 }] });
  await billing.claim('a', id);
  const { version } = await billing.settle('a', id, { outcome: Outcome.TRANSIENT, error: 'busy' });
  const ref = { user_id: 'a', message_id: id, version };
  const again = { attempt: 2, claim: 2 };
  const code = async (): Promise<number> => (await billing.claim('a', id, again, [ref])).code;
  await until('its wait is over', async () => (await code()) === ClaimCode.CLAIMED, { everyMs: 1 });
  // Claimed: what the confirmation wrote did not take the claim's place, nor the other way round.
  expect(await code()).toBe(ClaimCode.BUSY);
  const end = await billing.settle('a', id, { ...again, outcome: Outcome.SENT });
  expect(end.applied).toBe(true);
  await billing.published({ ...ref, version: end.version });
  expect(await balance('a')).toMatchObject({ available: 90, held: 0, posted: 10 });
  await assertCoherent(own.url);
});

test('no record is forgotten while its id could still be held again', () => {
  expect(TIMES.forgetAfterMs).toBeGreaterThanOrEqual(2 * TIMES.idAgeMaxMs);
});
