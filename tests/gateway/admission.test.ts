import { afterAll, beforeAll, expect, test } from 'bun:test';
import { openAdmission } from '../../gateway/admission.ts';
import type { Guard } from '../../shared/auth.ts';
import { AppError } from '../../shared/error.ts';
import { createLog } from '../../shared/log.ts';
import { connected, connectRedis, type Redis } from '../../shared/redis.ts';
import { infra } from '../support/infra.ts';

const quiet = createLog('test', 'error', () => undefined);
let redis: Redis;
beforeAll(async () => {
  redis = connectRedis(infra().redisUrl, quiet);
  await connected(redis);
}, 120_000);
afterAll(() => redis.disconnect());

let used = 0;
const fresh = (): string => `adm-${process.pid}-${Date.now()}-${++used}`;
const request = new Request('http://127.0.0.1/send', { method: 'POST' });
/** A guard whose callers show this key and own this account, or any. */
const guardOf = (key: string | null, account: string | null, rate: number | null = null): Guard => ({
  enter: () => undefined,
  pass: () => undefined,
  leave: () => undefined,
  seen: () => undefined,
  owns: (_, userId) => {
    if (account !== null && userId !== account) throw new AppError('forbidden', 'another account');
    return { key, admin: key === null, scopes: new Set(), account, operator: null, rate };
  },
});
const codeOf = async (work: Promise<void>): Promise<string> =>
  work.then(
    () => 'passed',
    (thrown: AppError) => thrown.code,
  );

test('without keys and rates nobody is asked anything', () => {
  expect(openAdmission(null, { account: 0, key: 0 }, redis, quiet)).toBeNull();
  expect(openAdmission(null, { account: 0, key: 5 }, redis, quiet)).toBeNull();
});

test('another account’s send is refused before it takes anything of that account’s rate', async () => {
  const [own, other] = [fresh(), fresh()];
  const admit = openAdmission(guardOf('k', own), { account: 2, key: 0 }, redis, quiet);
  expect(await codeOf(admit?.(request, other, 2) as Promise<void>)).toBe('forbidden');
  const theirs = openAdmission(guardOf('l', other), { account: 2, key: 0 }, redis, quiet);
  expect(await codeOf(theirs?.(request, other, 2) as Promise<void>)).toBe('passed');
});

test('an account has its rate without keys as well, and a batch counts its messages', async () => {
  const user = fresh();
  const admit = openAdmission(null, { account: 10, key: 0 }, redis, quiet);
  expect(await codeOf(admit?.(request, user, 7) as Promise<void>)).toBe('passed');
  expect(await codeOf(admit?.(request, user, 7) as Promise<void>)).toBe('rate_limited');
  expect(await codeOf(admit?.(request, user, 3) as Promise<void>)).toBe('passed');
});

test('what a key is refused takes nothing from its account, and what an account is refused nothing from the key', async () => {
  const [user, key] = [fresh(), fresh()];
  const admit = openAdmission(guardOf(key, user), { account: 10, key: 6 }, redis, quiet);
  expect(await codeOf(admit?.(request, user, 6) as Promise<void>)).toBe('passed');
  expect(await codeOf(admit?.(request, user, 6) as Promise<void>)).toBe('rate_limited');
  const otherKey = fresh();
  const other = openAdmission(guardOf(otherKey, null), { account: 10, key: 6 }, redis, quiet);
  expect(await codeOf(other?.(request, user, 4) as Promise<void>)).toBe('passed');
  expect(await codeOf(other?.(request, user, 2) as Promise<void>)).toBe('rate_limited');
  expect(await codeOf(other?.(request, `${user}-2`, 2) as Promise<void>)).toBe('passed');
});

test('the services’ own key has no rate of its own, but its accounts keep theirs', async () => {
  const user = fresh();
  const admit = openAdmission(guardOf(null, user), { account: 3, key: 1 }, redis, quiet);
  expect(await codeOf(admit?.(request, user, 3) as Promise<void>)).toBe('passed');
  expect(await codeOf(admit?.(request, user, 1) as Promise<void>)).toBe('rate_limited');
});

test('a key’s own rate holds in place of the general one, more or less, and where there is none', async () => {
  const user = fresh();
  const send = (key: string, rate: number | null, general: number, count: number): Promise<string> =>
    codeOf(
      openAdmission(
        guardOf(key, user, rate),
        { account: 0, key: general },
        redis,
        quiet,
      )?.(request, user, count) as Promise<void>,
    );
  const [more, less, alone] = [fresh(), fresh(), fresh()];
  expect(await send(more, 50, 5, 40)).toBe('passed');
  expect(await send(less, 2, 100, 2)).toBe('passed');
  expect(await send(less, 2, 100, 2)).toBe('rate_limited');
  expect(await send(alone, 3, 0, 3)).toBe('passed');
  expect(await send(alone, 3, 0, 3)).toBe('rate_limited');
  expect(await send(fresh(), null, 0, 1_000)).toBe('passed');
});
