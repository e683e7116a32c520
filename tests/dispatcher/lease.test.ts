import { afterAll, beforeAll, expect, test } from 'bun:test';
import { openLeases } from '../../dispatcher/lease.ts';
import { fillMemory, type OwnRedis, quiet, startOwnRedis } from '../billing/own-redis.ts';

let own: OwnRedis;
beforeAll(async () => {
  own = await startOwnRedis({ maxmemory: '12mb' });
});
afterAll(() => own.close());

test("with the memory of Redis full an operator's rate is granted all the same: what is submitted frees it in the end", async () => {
  const granted = (operator: string): Promise<number> =>
    new Promise((resolve) => {
      const lease = openLeases(own.redis, quiet).open(
        operator,
        100,
        () => ({ express: 0, others: 5 }),
        () => resolve(lease.available()),
      );
      lease.available();
    });
  expect(await granted('known')).toBeGreaterThan(0);
  await fillMemory(own.redis);
  expect(await granted('known')).toBeGreaterThan(0);
  expect(await granted('new')).toBeGreaterThan(0);
});
