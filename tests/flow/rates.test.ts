import { expect, test } from 'bun:test';
import type { Problem } from '../support/api.ts';
import { AUTH_ENV, callWith, makeKey } from '../support/keys.ts';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { useStack } from '../support/use-stack.ts';

const ACCOUNT_RATE = 20;
const KEY_RATE = 12;
const stack = useStack({
  env: { ...AUTH_ENV, RATE_LIMIT_ACCOUNT: String(ACCOUNT_RATE), RATE_LIMIT_KEY: String(KEY_RATE) },
});

type Answer = { status: number; retryAfter: string | null; code: string | undefined };
async function account(user: string): Promise<{ keys: string[]; admin: string }> {
  const url = stack.servers.redis.address;
  const admin = await makeKey(url, '--scope', 'admin');
  await callWith(stack, admin, 'billing', 'POST', `/charge/${user}?amount=10000000`);
  const key = () => makeKey(url, '--user', user, '--scope', 'send');
  return { keys: [await key(), await key()], admin };
}
const send = async (key: string, user: string): Promise<Answer> => {
  const { status, headers, json } = await callWith<Problem>(stack, key, 'gateway', 'POST', '/send', {
    json: { phone: newPhone('912'), text: 'hello', user_id: user },
  });
  return { status, retryAfter: headers.get('retry-after'), code: json.code };
};
const heldAndPosted = async (admin: string, user: string): Promise<number> => {
  const { json } = await callWith<{ held: number; posted: number }>(stack, admin, 'billing', 'GET', `/balance/${user}`);
  return json.held + json.posted;
};

test('past its rate a key gets 429 with Retry-After, nothing of it is charged, and after that time it goes on', async () => {
  const { keys, admin } = await account('rate-1');
  const startedAt = performance.now();
  const answers = await Promise.all(Array.from({ length: 60 }, () => send(keys[0] as string, 'rate-1')));
  const elapsedS = (performance.now() - startedAt) / 1_000;
  const passed = answers.filter(({ status }) => status === 202).length;
  expect(passed).toBeGreaterThanOrEqual(KEY_RATE);
  expect(passed).toBeLessThanOrEqual(KEY_RATE + Math.ceil(elapsedS * KEY_RATE));
  for (const refused of answers.filter(({ status }) => status !== 202))
    expect(refused).toEqual({ status: 429, retryAfter: '1', code: 'rate_limited' });
  const price = (await heldAndPosted(admin, 'rate-1')) / passed;
  expect(Number.isInteger(price)).toBe(true);
  await until('it goes on', async () => (await send(keys[0] as string, 'rate-1')).status === 202, { withinMs: 2_000 });
});

test('two keys of one account share the account’s rate', async () => {
  const { keys } = await account('rate-2');
  const startedAt = performance.now();
  const answers = await Promise.all(Array.from({ length: 80 }, (_, i) => send(keys[i % 2] as string, 'rate-2')));
  const elapsedS = (performance.now() - startedAt) / 1_000;
  const passed = answers.filter(({ status }) => status === 202).length;
  expect(passed).toBeGreaterThanOrEqual(ACCOUNT_RATE);
  expect(passed).toBeLessThanOrEqual(ACCOUNT_RATE + Math.ceil(elapsedS * ACCOUNT_RATE));
});

test('a batch counts its messages: one above a second’s passes once and is paid off before the next', async () => {
  const { keys, admin } = await account('rate-3');
  const batch = () =>
    callWith<Problem>(stack, keys[0] as string, 'gateway', 'POST', '/send/batch', {
      json: {
        user_id: 'rate-3',
        messages: Array.from({ length: 60 }, () => ({ phone: newPhone('912'), text: 'hello' })),
      },
    });
  expect((await batch()).status).toBe(202);
  const before = await heldAndPosted(admin, 'rate-3');
  const refused = await batch();
  expect(refused.status).toBe(429);
  // 48 are owed at 12 a second, and then a full second's are wanted.
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(4);
  expect(await heldAndPosted(admin, 'rate-3')).toBe(before);
});
