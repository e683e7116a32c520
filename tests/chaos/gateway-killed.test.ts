/** The fear: a message that was held is never sent, because the gateway died before Kafka had it. */
import { expect, test } from 'bun:test';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

const received = (id: string) => stack.simulator.records('mci', { messageId: id })[0];

test('a message whose gateway died between hold and produce is sent once, though two relays die over it', async () => {
  await stack.charge('held', 10_000);
  await stack.arm('gateway', 'gateway.after_hold');
  const body = { phone: newPhone('912'), user_id: 'held', text: 'held and not produced' };
  await expect(stack.trySend(body, 'order-1')).rejects.toThrow();
  await stack.died('gateway');
  expect((await stack.balance('held')).held).toBeGreaterThan(0);

  await stack.arm('gateway', 'gateway.relay_before_produce');
  await stack.died('gateway');
  expect(stack.simulator.counters('mci').received).toBe(0);
  await stack.arm('gateway', 'gateway.relay_after_produce');
  await stack.died('gateway');
  await stack.restart('gateway');

  const again = await stack.trySend(body, 'order-1');
  expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([202, 'true']);
  const message = await stack.final(again.json.message_id);
  expect(message).toMatchObject({ status: 'sent', attempts: 1, flags: [], posted: again.json.price });
  await assertSettled(stack, 'held', again.json.price);
  await assertDrained(stack);
  expect(received(message.message_id)).toMatchObject({ received: 1, accepted: 1 });
});

test('a message that was produced and is produced again by the relay is sent once', async () => {
  await stack.charge('twice', 10_000);
  await stack.arm('gateway', 'gateway.after_produce');
  const body = { phone: newPhone('912'), user_id: 'twice', text: 'produced and not confirmed' };
  // Its answer may or may not leave before the end.
  await stack.trySend(body, 'order-2').catch(() => undefined);
  await stack.died('gateway');
  await stack.restart('gateway');
  const { json } = await stack.trySend(body, 'order-2');
  expect(await stack.final(json.message_id)).toMatchObject({ status: 'sent', attempts: 1, flags: [] });
  await assertSettled(stack, 'twice', json.price);
  await assertDrained(stack);
  expect(received(json.message_id)).toMatchObject({ received: 1, accepted: 1 });
});

test('a send whose billing is away is refused before anything happens, and taken once billing is back', async () => {
  await stack.charge('patient', 10_000);
  await stack.kill('billing');
  const body = { phone: newPhone('912'), user_id: 'patient' };
  const refused = await stack.trySend(body);
  expect([refused.status, refused.json.code]).toEqual([503, 'unavailable']);
  expect(refused.headers.get('retry-after')).toBe('1');
  await stack.restart('billing');
  expect((await stack.balance('patient')).held).toBe(0);
  const accepted = await until('the gateway finds billing again', async () => {
    const answer = await stack.trySend(body);
    return answer.status === 202 && answer.json;
  });
  expect((await stack.final(accepted.message_id)).status).toBe('sent');
  await assertSettled(stack, 'patient', accepted.price);
});
