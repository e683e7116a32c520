/** The end of every money test: nothing is on its way any more, and the books balance. */
import { expect } from 'bun:test';
import type { Audit } from './api.ts';
import { assertCoherent } from './coherence.ts';
import { until } from './poll.ts';
import { reportHasRead } from './report-has-read.ts';
import type { Stack } from './stack.ts';

/**
 * Waits until no hold of the account is open and PostgreSQL's sums are those of Redis, then asserts conservation, and that all of
 * Redis' books are coherent.
 * @param spent Rials that all settled messages of the account cost together
 */
export async function assertSettled(stack: Stack, userId: string, spent: number, withinMs = 20_000): Promise<Audit> {
  const settled = await until(
    `the books of ${userId} balance with nothing on its way`,
    async () => {
      const found = await stack.audit(userId);
      if (found.redis.open_holds === 0 && found.balanced) return found;
      throw new Error(JSON.stringify(found));
    },
    { withinMs },
  );
  const { topped_up, available, held, posted } = settled.redis;
  expect({ held, posted, sum: available + held + posted }).toEqual({ held: 0, posted: spent, sum: topped_up });
  expect(settled.postgres).toEqual({ topped_up, posted });
  await assertCoherent(stack.servers.redis.address);
  return settled;
}

/**
 * Waits until nothing at all is on its way, in no account and no outbox, and the report shows what became of it; then every
 * account's books balance.
 */
export async function assertDrained(stack: Stack, withinMs = 30_000): Promise<void> {
  const { redis, kafkaBrokers, databaseUrl } = stack.servers;
  const redisUrl = redis.address;
  await until('everything is drained', async () => (await assertCoherent(redisUrl, { drained: true })).length, {
    withinMs,
    everyMs: 200,
  });
  await reportHasRead(kafkaBrokers, databaseUrl, withinMs);
  await assertCoherent(redisUrl, { drained: true, auditUrl: stack.urls.billing, withinMs });
}
