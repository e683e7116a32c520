/** Every service also runs under Deno: the same files, the same servers, the same answers. */
import { expect, test } from 'bun:test';
import { newPhone, only } from '../support/phones.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { SERVICES } from '../support/stack.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack({ runtime: 'deno', operators: { MTN: { on_unknown: 'resend' } } });

test('under Deno messages go through all four services: sent, retried, refused and refunded, and the books balance', async () => {
  await stack.charge('deno', 100_000);
  const [once, retried, rejected] = [newPhone('912'), newPhone('935'), newPhone('912')];
  stack.simulator.dials('mci', { rules: [{ match: only(rejected), outcome: 'reject' }] });
  stack.simulator.dials('mtn', { rules: [{ match: only(retried), outcome: 'silent', times: 1 }] });
  const sent = await stack.send({ phone: once, user_id: 'deno', text: 'کد تایید: 1234', type: 'express' });
  const { results } = await stack.sendBatch('deno', [
    { phone: retried, text: 'again' },
    { phone: rejected, text: 'no' },
  ]);
  const [second, third] = results.map((result) => ('message_id' in result ? result : null));
  if (!second || !third) throw new Error('a message was refused');
  expect(await stack.final(sent.message_id)).toMatchObject({ status: 'sent', text: 'کد تایید: 1234', attempts: 1 });
  expect(await stack.final(second.message_id)).toMatchObject({
    status: 'sent',
    attempts: 2,
    flags: ['perhaps_double'],
  });
  expect(await stack.final(third.message_id)).toMatchObject({ status: 'failed', error: 'http_400', posted: 0 });
  expect(stack.simulator.records('mtn', { to: retried })[0]).toMatchObject({ received: 2, accepted: 1 });
  await assertSettled(stack, 'deno', sent.price + second.price);
  await assertDrained(stack);
});

test('under Deno a refusal has the same shape, and the documentation is served', async () => {
  const refused = await stack.trySend({ phone: '021', user_id: 'deno' });
  expect([refused.status, refused.json.code]).toEqual([422, 'invalid_request']);
  expect(refused.headers.get('content-type')).toContain('application/problem+json');
  for (const service of SERVICES) {
    expect((await stack.call(service, 'GET', '/swagger/json')).status).toBe(200);
    expect((await stack.call(service, 'GET', '/metrics')).text).toContain(`jsms_${service}_`);
  }
});

test('under Deno a killed dispatcher leaves nothing behind that its successor does not end', async () => {
  await stack.charge('deno-2', 10_000);
  await stack.arm('dispatcher', 'dispatcher.after_settle');
  const sent = await stack.send({ phone: newPhone('912'), user_id: 'deno-2', type: 'express' });
  await stack.died('dispatcher');
  await stack.restart('dispatcher');
  expect(await stack.final(sent.message_id, 40_000)).toMatchObject({ status: 'sent', attempts: 1 });
  await assertSettled(stack, 'deno-2', sent.price);
});
