import { expect, test } from 'bun:test';
import { FINAL, type Message } from '../support/api.ts';
import { AUTH_ENV, callWith, makeKey, runKeys } from '../support/keys.ts';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack({ runtime: 'deno', env: { ...AUTH_ENV, RATE_LIMIT_KEY: '5' } });

test('under Deno as well: a key sends for its own account alone, is limited and bound to addresses, and ends when revoked', async () => {
  const url = stack.servers.redis.address;
  const admin = await makeKey(url, '--scope', 'admin', '--allow', '127.0.0.1');
  const far = await makeKey(url, '--scope', 'admin', '--allow', '10.0.0.0/8');
  const own = await makeKey(url, '--user', 'deno-1', '--scope', 'send,report');
  const charge = (key: string | null) => callWith(stack, key, 'billing', 'POST', '/charge/deno-1?amount=100000');
  expect((await charge(null)).status).toBe(401);
  expect((await charge(own)).status).toBe(403);
  expect((await charge(far)).status).toBe(403);
  expect((await charge(admin)).status).toBe(200);

  const send = (user_id: string, key = own) =>
    callWith<{ message_id: string }>(stack, key, 'gateway', 'POST', '/send', {
      json: { phone: newPhone('912'), text: 'hello', user_id },
    });
  const sent = await send('deno-1');
  expect(sent.status).toBe(202);
  expect((await send('deno-2')).status).toBe(403);
  const path = `/messages/${sent.json.message_id}`;
  await until('it is sent', async () => {
    const { json } = await callWith<Message>(stack, own, 'report', 'GET', path);
    return FINAL.has(json.status);
  });
  await until('the audit asks the report', async () => {
    const { json } = await callWith<{ balanced: boolean }>(stack, admin, 'billing', 'GET', '/audit/deno-1');
    return json.balanced;
  });
  const burst = await Promise.all(Array.from({ length: 30 }, () => send('deno-1')));
  expect(burst.filter(({ status }) => status === 429).length).toBeGreaterThan(10);

  await runKeys(url, ['revoke', own.slice(5, 21)]);
  const revokedAt = performance.now();
  await until('it is refused', async () => (await callWith(stack, own, 'report', 'GET', path)).status === 401);
  expect(performance.now() - revokedAt).toBeLessThan(5_000);
});
