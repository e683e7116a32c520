/** The fear: money moves and nobody learns of it, because billing died after its script. */
import { expect, test } from 'bun:test';
import { newPhone, only } from '../support/phones.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack({ operators: { MCI: { on_unknown: 'wait', unknown_wait_s: 1 } } });

const charge = (userId: string, amount: number) =>
  stack.call<{ available: number }>('billing', 'POST', `/charge/${userId}?amount=${amount}`, {
    headers: { 'idempotency-key': 'payment-1' },
  });

test('killed after a settlement, the same settlement is asked for again and counts once', async () => {
  await stack.charge('settle', 10_000);
  await stack.arm('billing', 'billing.settle_after_script');
  const phone = newPhone('912');
  // The gateway learns of the restarted billing by itself; until then it refuses.
  const sent = await stack.sendUntilAccepted({ phone, user_id: 'settle', type: 'express' });
  await stack.died('billing');
  await stack.restart('billing');
  expect(await stack.final(sent.message_id, 40_000)).toMatchObject({ status: 'sent', attempts: 1, posted: sent.price });
  await assertSettled(stack, 'settle', sent.price);
  await assertDrained(stack);
  expect(stack.simulator.records('mci', { to: phone })[0]).toMatchObject({ received: 1, accepted: 1 });
});

test('killed after a top-up, the top-up stands once, in Redis and in PostgreSQL, however often it is repeated', async () => {
  await stack.arm('billing', 'billing.topup_after_script');
  await expect(charge('top-1', 7_000)).rejects.toThrow();
  await stack.died('billing');
  await stack.restart('billing');
  const repeated = await charge('top-1', 7_000);
  expect([repeated.status, repeated.headers.get('idempotency-replayed')]).toEqual([200, 'true']);
  const audit = await assertSettled(stack, 'top-1', 0);
  expect(audit.redis.topped_up).toBe(7_000);
  await assertDrained(stack);
});

test('killed after a top-up was published, its second publication counts for nothing', async () => {
  await stack.arm('billing', 'billing.topup_after_publish');
  await charge('top-2', 9_000).catch(() => undefined);
  await stack.died('billing');
  await stack.restart('billing');
  expect((await charge('top-2', 9_000)).status).toBe(200);
  await assertDrained(stack);
  const audit = await assertSettled(stack, 'top-2', 0);
  expect(audit.postgres?.topped_up).toBe(9_000);
});

for (const point of ['billing.sweep_after_script', 'billing.sweep_after_publish'] as const) {
  test(`killed at ${point}, what the sweeper decided is published, and counts once`, async () => {
    await stack.charge(point, 10_000);
    await stack.arm('billing', point);
    const phone = newPhone('912');
    stack.simulator.dials('mci', { rules: [{ match: only(phone), outcome: 'silent' }] });
    const sent = await stack.sendUntilAccepted({ phone, user_id: point, type: 'express' });
    await stack.died('billing');
    await stack.restart('billing');
    expect(await stack.final(sent.message_id, 40_000)).toMatchObject({
      status: 'failed',
      attempts: 1,
      flags: ['perhaps_sent'],
      posted: 0,
    });
    await assertSettled(stack, point, 0);
    await assertDrained(stack);
    expect(stack.simulator.records('mci', { to: phone })[0]).toMatchObject({ received: 1, accepted: 1 });
  });
}
