import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { readBalance } from '../../billing/accounts.ts';
import { claim } from '../../billing/messages.ts';
import { createShards, requireShards } from '../../billing/shard.ts';
import { ClaimCode, HoldCode } from '../../shared/billing.ts';
import type { AppError } from '../../shared/error.ts';
import { newId } from '../../shared/id.ts';
import { assertCoherent } from '../support/coherence.ts';
import { SHARDS, TAGS, tagOf } from '../support/shards.ts';
import { type Calls, callsOn } from './calls.ts';
import { type OwnRedis, startOwnRedis } from './own-redis.ts';

let own: OwnRedis;
let billing: Calls;
beforeAll(async () => {
  own = await startOwnRedis();
  billing = callsOn(own.redis);
});
afterAll(() => own.close());
beforeEach(async () => {
  await own.redis.flushdb();
});

/** One account in each shard. */
const USERS = TAGS.map(
  (tag) => Array.from({ length: 100 }, (_, n) => `u${n}`).find((user) => tagOf(user) === tag) as string,
);
const [BROKEN, ...WHOLE] = USERS as [string, ...string[]];
const codeOf = (call: Promise<unknown>) => call.catch((thrown: AppError) => thrown.code);

/** A shard whose index is no index fails in the middle of whatever it is asked for. */
const spoil = () => own.redis.set(`${tagOf(BROKEN)}:due`, 'spoilt');

test('a call over all shards answers in its own order', async () => {
  await Promise.all(USERS.map((user, n) => billing.topUp(user, 10 + n)));
  const mixed = [...USERS, ...USERS].map((user, n) => ({ user, items: [{ price: n < USERS.length ? 10 : 3 }] }));
  const replies = await billing.hold(...mixed);
  const wanted = [
    ...USERS.map(() => HoldCode.OK),
    ...USERS.map((_, n) => (n >= 3 ? HoldCode.OK : HoldCode.INSUFFICIENT)),
  ];
  expect(replies.map(({ codes }) => codes[0])).toEqual(wanted);
  await assertCoherent(own.url);
});

test('when one shard fails the outcome of the whole call is unknown, and the same call again holds once', async () => {
  for (const user of USERS) await billing.topUp(user, 10);
  const groups = USERS.map((user) => ({ user, items: [{ id: newId(), price: 10 }] }));
  await spoil();
  expect(await codeOf(billing.hold(...groups))).toBe('outcome_unknown');
  for (const user of WHOLE) expect(await readBalance(own.redis, SHARDS, user)).toMatchObject({ held: 10, open: 1 });
  await own.redis.del(`${tagOf(BROKEN)}:due`);
  const again = await billing.hold(...groups.filter(({ user }) => user !== BROKEN));
  expect(again.map(({ codes }) => codes)).toEqual(WHOLE.map(() => [HoldCode.OK]));
  for (const user of WHOLE) expect(await readBalance(own.redis, SHARDS, user)).toMatchObject({ held: 10, open: 1 });
});

test('a claim of which one shard failed is not called unavailable: the others have claimed', async () => {
  const items = [];
  for (const user of USERS) {
    await billing.topUp(user, 10);
    const id = newId();
    await billing.hold({ user, items: [{ id, price: 10 }] });
    items.push({
      user_id: user,
      message_id: id,
      attempt: 1,
      claim: 1,
      operator: 'MCI',
      resend_unknown: false,
      unknown_wait_ms: 1,
    });
  }
  await spoil();
  const call = claim(billing.deps, { owner: 'one', ttl_ms: 20_000, items, published: [] });
  expect(await codeOf(call)).toBe('outcome_unknown');
  for (const { user_id, message_id } of items.slice(1))
    expect((await billing.claim(user_id, message_id)).code).toBe(ClaimCode.BUSY);
});

const refusal = (count: number) =>
  requireShards(own.redis, createShards(count)).then(
    () => null,
    (thrown: Error) => thrown.message,
  );

test('balances keep the number of shards that they were begun with', async () => {
  expect(await refusal(2)).toBeNull();
  expect(await refusal(2)).toBeNull();
  expect(await refusal(1)).toContain('BILLING_SHARDS is 1, and the balances in this Redis were begun with 2');
  expect(await refusal(16)).toContain('were begun with 2');
  expect(await refusal(2)).toBeNull();
});

test('balances from before there was a mark have four: none of them is lost from sight', async () => {
  for (let n = 0; n < 3_000; n += 1) await own.redis.hset(`{b03}:a:u${n}`, 'available', 1);
  expect(await refusal(1)).toContain('were begun with 4: set it to 4');
  expect(await refusal(4)).toBeNull();
});

test('several that start at once agree', async () => {
  const all = await Promise.all([1, 2, 3, 4].map(refusal));
  expect(all.filter((one) => one === null)).toHaveLength(1);
});
