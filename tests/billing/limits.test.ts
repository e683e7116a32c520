import { afterAll, beforeAll, expect, test } from 'bun:test';
import { parseRetryWaits, settings } from '../../billing/config.ts';
import { type Limits, type Load, openGate, readLoad, refusalOf } from '../../billing/gate.ts';
import { createShards, SHARDS_MAX } from '../../billing/shard.ts';
import { readSettings } from '../../shared/config.ts';
import { until } from '../support/poll.ts';
import { SHARDS } from '../support/shards.ts';
import { callsOn } from './calls.ts';
import { type OwnRedis, quiet, startOwnRedis } from './own-redis.ts';

let own: OwnRedis;
beforeAll(async () => {
  own = await startOwnRedis({ maxmemory: '64mb' });
});
afterAll(() => own.close());

const LIMITS: Limits = { outboxMax: 10, openMax: 100, memoryMaxBytes: 0 };
const IDLE: Load = { outbox: 0, inFlight: 0, memoryBytes: 0, memoryMaxBytes: 0 };

test.each<[Partial<Load>, Partial<Limits>, RegExp | null]>([
  [{}, {}, null],
  [{ outbox: 10, inFlight: 100 }, {}, null],
  [{ outbox: 11 }, {}, /outbox/],
  [{ inFlight: 101 }, {}, /in flight/],
  [{ memoryBytes: 10 ** 12 }, {}, null],
  [{ memoryBytes: 75, memoryMaxBytes: 100 }, {}, null],
  [{ memoryBytes: 76, memoryMaxBytes: 100 }, {}, /memory/],
  [{ memoryBytes: 76, memoryMaxBytes: 100 }, { memoryMaxBytes: 90 }, null],
  [{ memoryBytes: 91, memoryMaxBytes: 0 }, { memoryMaxBytes: 90 }, /memory/],
])('a load of %j with %j', (load, limits, wanted) => {
  const refusal = refusalOf({ ...IDLE, ...load }, { ...LIMITS, ...limits });
  if (wanted === null) expect(refusal).toBeNull();
  else expect(refusal).toMatch(wanted);
});

test('the load is what Redis has: messages that Kafka does not have, messages in flight, memory', async () => {
  const billing = callsOn(own.redis);
  for (const user of ['a', 'b', 'c', 'd']) {
    await billing.topUp(user, 100);
    await billing.hold({ user, items: [{ price: 1 }, { price: 1 }] });
  }
  const load = await readLoad(own.redis, SHARDS);
  expect(load).toMatchObject({ outbox: 8, inFlight: 8, memoryMaxBytes: 64 * 1_048_576 });
  expect(load.memoryBytes).toBeGreaterThan(100_000);
});

test('the gate closes past a limit and opens again by itself', async () => {
  const gate = openGate(own.redis, SHARDS, { ...LIMITS, outboxMax: 7 }, quiet);
  try {
    await until('it is closed', () => gate.refusal() !== null);
    await own.redis.flushdb();
    await until('it is open', () => gate.refusal() === null);
    expect(gate.load().outbox).toBe(0);
  } finally {
    gate.close();
  }
});

test.each<[string, number[]]>([
  ['5,30,120', [5_000, 30_000, 120_000]],
  ['0.2,0.4,0.8', [200, 400, 800]],
  [' 1 , 1, 1.5 ', [1_000, 1_000, 1_500]],
  ['0.001,0.001,99999.999', [1, 1, 99_999_999]],
])('the waits %j are read', (text, wanted) => {
  expect(parseRetryWaits(text)).toEqual(wanted);
});

test.each([
  '',
  '5',
  '5,30',
  '5,30,120,240',
  '5,30,x',
  '30,5,120',
  '0,1,2',
  '-1,2,3',
  '1e1,20,30',
  '5;30;120',
  '5,,120',
  '1.0001,2,3',
])('the waits %j are refused with a sentence', (text) => {
  expect(() => parseRetryWaits(text)).toThrow('must be three growing numbers of seconds by comma, such as 5,30,120');
});

test('every bad setting is named at once', () => {
  const env = { RETRY_WAITS_S: '3,2,1', BILLING_HTTP_PORT: 'x', REDIS_URL: 'localhost' };
  const read = (): unknown => readSettings(settings, env);
  expect(read).toThrow(/RETRY_WAITS_S: must be three growing/);
  expect(read).toThrow(/BILLING_HTTP_PORT/);
  expect(read).toThrow(/REDIS_URL/);
  expect(readSettings(settings, {}).RETRY_WAITS_S).toEqual([5_000, 30_000, 120_000]);
});

test('an account stays in its shard for ever: stored keys depend on it', () => {
  const { tags, tagOf } = createShards(4);
  expect(tags).toEqual(['{b00}', '{b01}', '{b02}', '{b03}']);
  const pinned = Object.fromEntries(
    ['123', '0', 'a', 'A-z_0.9', 'x'.repeat(64), 'tenant-1', 'tenant-2'].map((id) => [id, tagOf(id)]),
  );
  expect(pinned).toMatchInlineSnapshot(`
    {
      "0": "{b03}",
      "123": "{b03}",
      "A-z_0.9": "{b01}",
      "a": "{b00}",
      "tenant-1": "{b03}",
      "tenant-2": "{b02}",
      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": "{b01}",
    }
  `);
});

for (const count of [1, 2, 3, SHARDS_MAX]) {
  test(`accounts spread over ${count} shards`, () => {
    const { tags, tagOf } = createShards(count);
    const counts = new Map<string, number>(tags.map((tag) => [tag, 0]));
    for (let n = 0; n < 10_000; n += 1) counts.set(tagOf(`user-${n}`), (counts.get(tagOf(`user-${n}`)) as number) + 1);
    expect(counts.size).toBe(count);
    for (const found of counts.values()) expect(found).toBeGreaterThan((10_000 / count) * 0.8);
  });
}
