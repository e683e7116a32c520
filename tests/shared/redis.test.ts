import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test';
import { Redis as PlainRedis } from 'ioredis';
import { readBalance } from '../../billing/accounts.ts';
import { HoldCode } from '../../shared/billing.ts';
import type { AppError } from '../../shared/error.ts';
import { newId } from '../../shared/id.ts';
import { connectRedis, defineScript, NotDurable, type Redis, requireDurable } from '../../shared/redis.ts';
import { callsOn } from '../billing/calls.ts';
import { type OwnRedis, quiet, startOwnRedis } from '../billing/own-redis.ts';
import { assertCoherent } from '../support/coherence.ts';
import { until } from '../support/poll.ts';
import { type FaultyProxy, startProxy } from '../support/proxy.ts';
import { SHARDS } from '../support/shards.ts';

let own: OwnRedis;
let proxy: FaultyProxy;
let redis: Redis;
beforeAll(async () => {
  own = await startOwnRedis();
});
afterAll(() => own.close());
beforeEach(async () => {
  await own.redis.flushdb();
  proxy = await startProxy(own.server.port);
  redis = connectRedis(`redis://127.0.0.1:${proxy.port}`, quiet);
  await requireDurable(redis);
});
afterEach(async () => {
  redis.disconnect();
  await proxy.close();
});

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'answered',
    (thrown: AppError) => thrown.code ?? 'not ours',
  );
type Client = { status: string; once(event: 'close', done: () => void): unknown };
const isReady = (client: { status: string }) => until('the client is connected again', () => client.status === 'ready');

/** The reply of what `work` sends is lost with its connection; then the client is connected again. */
async function loseReply<T>(client: Client, work: () => Promise<T>): Promise<T> {
  const from = proxy.swallowed;
  proxy.swallow = true;
  const done = work();
  done.catch(() => undefined);
  await until('the server has answered', () => proxy.swallowed > from);
  proxy.swallow = false;
  const closed = new Promise<void>((resolve) => client.once('close', resolve));
  proxy.cut();
  await closed;
  await isReady(client);
  return done;
}

const TAKE = `return redis.call('DECRBY', KEYS[1], ARGV[1])`;

test('a step whose reply was lost is never sent again by the client', async () => {
  await own.redis.set('balance', 100);
  const take = defineScript(redis, 'take', TAKE);
  expect(await take('balance', 10)).toBe(90);
  expect(await codeOf(loseReply(redis, () => take('balance', 10)))).toBe('not ours');
  expect(await codeOf(loseReply(redis, () => redis.decrby('balance', 10)))).toBe('not ours');
  await redis.ping();
  expect(await own.redis.get('balance')).toBe('70');
});

test("with ioredis' own defaults it is sent again: the trap is real", async () => {
  await own.redis.set('balance', 100);
  const plain = new PlainRedis(proxy.port, '127.0.0.1', { retryStrategy: () => 10 });
  plain.on('error', () => undefined);
  try {
    await until('the client is connected', () => plain.status === 'ready');
    expect(await loseReply(plain, () => plain.decrby('balance', 10))).toBe(80);
    expect(await own.redis.get('balance')).toBe('80');
  } finally {
    plain.disconnect();
  }
});

test('a hold whose answer was lost may be asked for again with the same ids: it holds once', async () => {
  const billing = callsOn(redis);
  await billing.topUp('a', 100);
  const group = {
    user: 'a',
    items: [
      { id: newId(), price: 30 },
      { id: newId(), price: 20 },
    ],
    key: 'k',
    hash: 'h',
  };
  expect(await codeOf(loseReply(redis, () => billing.hold(group)))).toBe('outcome_unknown');
  const [again] = await billing.hold(group);
  expect(again?.answers).toEqual(group.items.map(({ id }) => `answer of ${id}`));
  expect(await readBalance(redis, SHARDS, 'a')).toMatchObject({ available: 50, held: 50, open: 2 });
  await assertCoherent(own.url);
});

test('a settlement whose answer was lost may be asked for again: it posts once and answers the same', async () => {
  const billing = callsOn(redis);
  await billing.topUp('a', 100);
  const [id, other] = [newId(), newId()];
  await billing.hold({
    user: 'a',
    items: [
      { id, price: 30 },
      { id: other, price: 20 },
    ],
  });
  for (const one of [id, other]) await billing.claim('a', one);
  expect(await codeOf(loseReply(redis, () => billing.settle('a', id, { outcome: 0 })))).toBe('outcome_unknown');
  expect(await codeOf(loseReply(redis, () => billing.settle('a', other, { outcome: 2 })))).toBe('outcome_unknown');
  const sent = await billing.settle('a', id, { outcome: 0 });
  expect(sent.applied).toBe(false);
  expect(JSON.parse(sent.outcome)).toMatchObject({ status: 'sent', posted: 30, version: 1 });
  const retry = await billing.settle('a', other, { outcome: 2 });
  expect(JSON.parse(retry.retry)).toMatchObject({ id: other, attempt: 2 });
  expect(await readBalance(redis, SHARDS, 'a')).toMatchObject({ available: 50, held: 20, posted: 30, open: 1 });
  await assertCoherent(own.url);
});

test('a top-up whose answer was lost is said to be unknown, and repeated with its key it counts once', async () => {
  const billing = callsOn(redis);
  await billing.topUp('a', 1);
  const lost = await loseReply(redis, () => billing.topUp('a', 100, 'k')).catch((thrown: AppError) => thrown);
  const { code, extra } = lost as AppError;
  expect(code).toBe('outcome_unknown');
  const again = await billing.topUp('a', 100, 'k');
  expect(extra.transaction_id).toBe(again.answer.transaction_id);
  expect(await readBalance(redis, SHARDS, 'a')).toMatchObject({ available: 101, topped_up: 101 });
  await assertCoherent(own.url);
});

test('scripts survive that Redis forgets them, under load as well', async () => {
  const billing = callsOn(redis);
  await billing.topUp('a', 1_000);
  await own.redis.script('FLUSH');
  expect((await billing.hold({ user: 'a', items: [{ price: 1 }] }))[0]?.codes).toEqual([HoldCode.OK]);
  const holds = Array.from({ length: 300 }, async (_, n) => {
    if (n % 50 === 0) await own.redis.script('FLUSH');
    return (await billing.hold({ user: 'a', items: [{ price: 1 }] }))[0]?.codes[0];
  });
  expect(new Set(await Promise.all(holds))).toEqual(new Set([HoldCode.OK]));
  expect(await readBalance(redis, SHARDS, 'a')).toMatchObject({ available: 699, held: 301, open: 301 });
  await assertCoherent(own.url);
});

test('while Redis restarts calls are refused before any effect, then they work on what was there', async () => {
  const billing = callsOn(own.redis);
  await billing.topUp('a', 100);
  const id = newId();
  await billing.hold({ user: 'a', items: [{ id, price: 30 }] });
  await own.server.kill();
  await until('the client has noticed', () => own.redis.status !== 'ready');
  expect(await codeOf(billing.claim('a', id))).toBe('unavailable');
  expect(await codeOf(billing.topUp('a', 5))).toBe('unavailable');
  expect(await codeOf(readBalance(own.redis, SHARDS, 'a'))).toBe('unavailable');
  expect((await billing.hold({ user: 'a', items: [{ price: 1 }] }))[0]?.codes).toEqual([]);
  await own.server.restart();
  await isReady(own.redis);
  expect((await billing.claim('a', id)).code).toBe(0);
  expect((await billing.settle('a', id, { outcome: 0 })).applied).toBe(true);
  expect(await readBalance(own.redis, SHARDS, 'a')).toEqual({
    available: 70,
    held: 0,
    posted: 30,
    topped_up: 100,
    open: 0,
  });
  await assertCoherent(own.url);
});

test('a connection whose peer went silent is given up, and a new one is made', async () => {
  const billing = callsOn(redis);
  await billing.topUp('a', 100);
  proxy.swallow = true;
  const closed = new Promise((resolve) => redis.once('close', resolve));
  expect(await codeOf(billing.hold({ user: 'a', items: [{ price: 1 }] }))).toBe('outcome_unknown');
  await closed;
  proxy.swallow = false;
  await isReady(redis);
  expect((await billing.hold({ user: 'a', items: [{ price: 1 }] }))[0]?.codes).toEqual([HoldCode.OK]);
}, 30_000);

test('a Redis that may lose what it acknowledged is refused with a sentence that names the setting', async () => {
  const wrong = [
    ['appendonly', 'no', 'yes'],
    ['appendfsync', 'everysec', 'always'],
    ['maxmemory-policy', 'allkeys-lru', 'noeviction'],
  ] as const;
  for (const [name, bad, good] of wrong) {
    await own.redis.config('SET', name, bad);
    const refused = await requireDurable(redis).catch((thrown: Error) => thrown);
    await own.redis.config('SET', name, good);
    expect(refused).toBeInstanceOf(NotDurable);
    expect((refused as Error).message).toBe(
      `Redis has ${name} ${bad}, but money needs ${name} ${good}: set it in redis.conf`,
    );
  }
  await requireDurable(redis);
});

test('a Redis that wants another password is not waited for', async () => {
  await own.redis.config('SET', 'requirepass', 'secret');
  const stranger = connectRedis(own.url, quiet);
  const wrong = connectRedis(own.url.replace('redis://', 'redis://:wrong@'), quiet);
  try {
    for (const client of [stranger, wrong]) {
      const refused = await until('it says why', () => requireDurable(client).catch((thrown: Error) => thrown));
      expect(refused).toBeInstanceOf(NotDurable);
      expect((refused as Error).message).not.toContain('wrong');
    }
  } finally {
    stranger.disconnect();
    wrong.disconnect();
    await own.redis.config('SET', 'requirepass', '');
  }
});
