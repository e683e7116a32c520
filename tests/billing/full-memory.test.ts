import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { readBalance } from '../../billing/accounts.ts';
import { hold } from '../../billing/messages.ts';
import { answersOf } from '../../billing/scripts.ts';
import { ClaimCode, HoldCode, HoldOutcome } from '../../shared/billing.ts';
import type { AppError } from '../../shared/error.ts';
import { newId } from '../../shared/id.ts';
import { assertCoherent, readShard } from '../support/coherence.ts';
import { SHARDS, tagOf } from '../support/shards.ts';
import { type Calls, callsOn, EVER, relayed } from './calls.ts';
import { fillMemory, type OwnRedis, startOwnRedis } from './own-redis.ts';

let own: OwnRedis;
let billing: Calls;
beforeAll(async () => {
  own = await startOwnRedis({ maxmemory: '12mb' });
  billing = callsOn(own.redis, { relayAfterMs: 0, publishGraceMs: 0 });
});
afterAll(() => own.close());
beforeEach(async () => {
  await own.redis.flushdb();
});

const TAG = tagOf('a');
const books = () => readShard(own.redis, TAG);

/** Messages that are held, and Redis full. */
async function heldAndFull(count: number): Promise<string[]> {
  await billing.topUp('a', 1_000);
  const ids = Array.from({ length: count }, () => newId());
  await billing.hold({ user: 'a', items: ids.map((id) => ({ id, price: 10 })) });
  await fillMemory(own.redis);
  return ids;
}

test('with the memory of Redis full a hold is refused and writes nothing; with room again it is taken', async () => {
  await heldAndFull(3);
  const before = await books();
  for (const key of ['', 'k']) {
    const [reply] = await billing.hold({ user: 'a', items: [{ price: 10 }, { price: 20 }], key, hash: 'h' });
    expect(reply).toMatchObject({ outcome: HoldOutcome.OVERLOADED, codes: [] });
  }
  expect(await books()).toEqual(before);
  await own.redis.del(await own.redis.keys('filler:*'));
  const [reply] = await billing.hold({ user: 'a', items: [{ price: 10 }], key: 'k', hash: 'h' });
  expect(reply).toMatchObject({ outcome: HoldOutcome.HELD, codes: [HoldCode.OK] });
  await assertCoherent(own.url);
});

test('with the memory of Redis full a top-up is refused as unavailable and writes nothing', async () => {
  await heldAndFull(1);
  const before = await books();
  const code = await billing.topUp('a', 5, 'k').catch((thrown: AppError) => thrown.code);
  expect(code).toBe('unavailable');
  expect(await books()).toEqual(before);
});

test('with the memory of Redis full what is in flight goes on: claims, every outcome, the sweeper, the relay', async () => {
  const ids = await heldAndFull(7);
  const [sent, rejected, transient, unknown, released, left, unproduced] = ids as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  for (const id of ids.slice(0, 5)) expect((await billing.claim('a', id)).code).toBe(ClaimCode.CLAIMED);
  expect((await billing.claim('a', left, { ttl: 1 })).code).toBe(ClaimCode.CLAIMED);
  const outcomes = { [sent]: 0, [rejected]: 1, [transient]: 2, [unknown]: 3, [released]: 4 };
  for (const [id, outcome] of Object.entries(outcomes)) {
    expect((await billing.settle('a', id, { outcome, error: outcome ? 'why' : '' })).applied).toBe(true);
  }
  const { events } = relayed(await billing.scripts.relay(TAG, 'gateway', 5_000, 10, 0, EVER));
  expect(events.map(({ id }) => id).sort()).toEqual([unproduced, released].sort());
  const swept = answersOf<[string[], string]>(await billing.scripts.sweep(TAG, 'sweeper', 5_000, 10));
  expect(new Set(swept.map(([[id], state]) => `${id} ${state}`))).toEqual(
    new Set([`${sent} sent`, `${rejected} failed`, `${transient} held`, `${unknown} unknown`, `${left} unknown`]),
  );
  await billing.published({ user_id: 'a', message_id: sent, version: 1 });
  expect((await books()).due.has(sent)).toBe(false);
  expect(await readBalance(own.redis, SHARDS, 'a')).toMatchObject({ available: 940, held: 50, posted: 10 });
  await assertCoherent(own.url);
});

test('productions that ride on a refused hold leave the outbox all the same', async () => {
  const [id] = await heldAndFull(1);
  expect((await books()).outbox.size).toBe(1);
  const item = { message_id: newId(), price: 1, valid_until: 1_900_000_000_000, event: Buffer.from('{}'), answer: '' };
  const group = { user_id: 'a', idempotency_key: '', body_hash: '', batch_id: '', refused: '', items: [item] };
  const request = { groups: [group], produced: [{ user_id: 'a', message_id: id as string }] };
  expect((await hold(billing.deps, request)).groups[0]?.outcome).toBe(HoldOutcome.OVERLOADED);
  expect((await books()).outbox.size).toBe(0);
  await assertCoherent(own.url);
});
