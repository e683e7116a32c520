import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { AppError } from '../../shared/error.ts';
import { createLog } from '../../shared/log.ts';
import { openRateLimit, type RateLimit } from '../../shared/rate-limit.ts';
import { connected, connectRedis, type Redis } from '../../shared/redis.ts';
import { infra } from '../support/infra.ts';
import { until } from '../support/poll.ts';

const quiet = createLog('test', 'error', () => undefined);
let redis: Redis;
beforeAll(async () => {
  redis = connectRedis(infra().redisUrl, quiet);
  await connected(redis);
}, 120_000);
afterAll(() => redis.disconnect());

let used = 0;
/** A subject nobody has had. */
const newSubject = (): string => `s${process.pid}-${Date.now()}-${++used}`;

/** Takes once: whether it was granted, and what it was refused with. */
async function take(limit: RateLimit, subject: string, count = 1): Promise<AppError | null> {
  try {
    await limit.take(subject, count);
    return null;
  } catch (thrown) {
    return thrown as AppError;
  }
}
const granted = (answers: (AppError | null)[]): number => answers.filter((answer) => answer === null).length;

test('of a burst exactly a second’s messages pass, however many processes share it', async () => {
  for (const processes of [1, 3]) {
    const subject = newSubject();
    const limits = Array.from({ length: processes }, () => openRateLimit(redis, 'account', 100, quiet));
    const startedAt = performance.now();
    const answers = await Promise.all(
      Array.from({ length: 600 }, (_, i) => take(limits[i % processes] as RateLimit, subject)),
    );
    const refilled = Math.floor(((performance.now() - startedAt) / 1_000) * 100) + 1;
    // A process may still hold what it took in advance: a twentieth of a second.
    expect(granted(answers)).toBeGreaterThanOrEqual(100 - 5 * processes);
    expect(granted(answers)).toBeLessThanOrEqual(100 + refilled);
    for (const refused of answers.filter((answer) => answer !== null)) {
      expect(refused).toMatchObject({ code: 'rate_limited', retryAfterS: 1 });
    }
  }
});

test('over some seconds as many pass as the rate allows, and not one more', async () => {
  const subject = newSubject();
  const rate = 50;
  const limits = [openRateLimit(redis, 'account', rate, quiet), openRateLimit(redis, 'account', rate, quiet)];
  const startedAt = performance.now();
  let passed = 0;
  let asked = 0;
  await until(
    'three seconds have passed',
    async () => {
      const answers = await Promise.all(limits.flatMap((limit) => [take(limit, subject), take(limit, subject)]));
      passed += granted(answers);
      asked += answers.length;
      return performance.now() - startedAt > 3_000;
    },
    { everyMs: 5, withinMs: 10_000 },
  );
  const elapsedS = (performance.now() - startedAt) / 1_000;
  expect(asked).toBeGreaterThan(rate * elapsedS * 1.5);
  expect(passed).toBeLessThanOrEqual(rate + Math.ceil(elapsedS * rate));
  expect(passed).toBeGreaterThanOrEqual(rate + Math.floor((elapsedS - 0.3) * rate));
});

test('each subject has a rate of its own, and accounts are not keys', async () => {
  const [one, other] = [newSubject(), newSubject()];
  const accounts = openRateLimit(redis, 'account', 5, quiet);
  expect(await take(accounts, one, 5)).toBeNull();
  expect(await take(accounts, one)).not.toBeNull();
  expect(await take(accounts, other, 5)).toBeNull();
  expect(await take(openRateLimit(redis, 'key', 5, quiet), one, 5)).toBeNull();
});

test('a batch larger than a second’s messages passes once, and is paid off before the next one', async () => {
  const subject = newSubject();
  const limit = openRateLimit(redis, 'account', 10, quiet);
  expect(await take(limit, subject, 100)).toBeNull();
  const refused = await take(openRateLimit(redis, 'account', 10, quiet), subject);
  // 90 messages are owed and one is wanted: 9.1 s at 10 a second.
  expect(refused).toMatchObject({ code: 'rate_limited', retryAfterS: 10 });
});

test('Retry-After is true: sooner it is refused, then it passes', async () => {
  const subject = newSubject();
  const limit = openRateLimit(redis, 'account', 2, quiet);
  expect(await take(limit, subject, 4)).toBeNull();
  const startedAt = performance.now();
  const refused = await take(limit, subject);
  expect(refused).toMatchObject({ code: 'rate_limited', retryAfterS: 2 });
  await until('it passes again', async () => (await take(limit, subject)) === null, { everyMs: 20 });
  const waited = performance.now() - startedAt;
  expect(waited).toBeGreaterThan(1_300);
  expect(waited).toBeLessThan(2_100);
});

test('a busy subject asks Redis about twenty times a second, a refused one not at all', async () => {
  const subject = newSubject();
  const limit = openRateLimit(redis, 'account', 10_000, quiet);
  const calls = async (): Promise<number> =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
  await take(limit, subject);
  const before = await calls();
  for (let i = 0; i < 5_000; i += 1) await take(limit, subject);
  expect((await calls()) - before).toBeLessThanOrEqual(12);
  const slow = openRateLimit(redis, 'key', 1, quiet);
  await take(slow, subject, 10);
  await take(slow, subject);
  const refusedFrom = await calls();
  for (let i = 0; i < 1_000; i += 1) expect(await take(slow, subject)).toMatchObject({ code: 'rate_limited' });
  expect((await calls()) - refusedFrom).toBeLessThanOrEqual(2);
});

test('what was given back can be taken again', async () => {
  const subject = newSubject();
  const limit = openRateLimit(redis, 'account', 4, quiet);
  expect(await take(limit, subject, 4)).toBeNull();
  limit.giveBack(subject, 4);
  expect(await take(openRateLimit(redis, 'account', 4, quiet), subject, 4)).not.toBeNull();
  expect(await take(limit, subject, 4)).toBeNull();
});

test('nothing is left in Redis of a subject that has been quiet', async () => {
  const subject = newSubject();
  await take(openRateLimit(redis, 'account', 10, quiet), subject, 5);
  const ttl = await redis.pttl(`limit:account:${subject}`);
  expect(ttl).toBeGreaterThan(0);
  expect(ttl).toBeLessThanOrEqual(1_600);
});

test('while Redis does not answer nothing passes and nobody waits for long', async () => {
  const away = connectRedis('redis://127.0.0.1:1', quiet);
  const limit = openRateLimit(away, 'account', 1_000, quiet);
  const startedAt = performance.now();
  const answers = await Promise.all(Array.from({ length: 200 }, () => take(limit, 'x')));
  for (const answer of answers) expect(answer).toMatchObject({ code: 'unavailable' });
  expect(performance.now() - startedAt).toBeLessThan(1_500);
  away.disconnect();
});
