import { expect, test } from 'bun:test';
import { newPhone, only } from '../support/phones.ts';
import { assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

// Retries far apart, so that a message's time ends between two of them.
const stack = useStack({ env: { RETRY_WAITS_S: '30,60,120' } });

test('a message is not sent after its time: it ends expired and is refunded', async () => {
  await stack.charge('late', 10_000);
  const phone = newPhone('912');
  stack.simulator.dials('mci', { rules: [{ match: only(phone), outcome: 'transient' }] });
  const sent = await stack.send({ phone, user_id: 'late', valid_for_s: 2 });
  const message = await stack.final(sent.message_id);
  expect(message).toMatchObject({ status: 'failed', error: 'expired', posted: 0, flags: [] });
  expect(stack.simulator.records('mci', { to: phone })[0]).toMatchObject({ received: 1, accepted: 0 });
  await assertSettled(stack, 'late', 0);
});

test('a message that waits for a dispatcher past its time is never submitted', async () => {
  await stack.charge('asleep', 10_000);
  await stack.stop('dispatcher');
  const phone = newPhone('912');
  const sent = await stack.send({ phone, user_id: 'asleep', valid_for_s: 1 });
  const message = await stack.final(sent.message_id);
  expect(message).toMatchObject({ status: 'failed', error: 'expired', posted: 0 });
  const other = await stack.send({ phone: newPhone('912'), user_id: 'asleep' });
  await stack.restart('dispatcher');
  expect((await stack.final(other.message_id)).status).toBe('sent');
  expect(stack.simulator.records('mci', { to: phone })).toEqual([]);
  await assertSettled(stack, 'asleep', other.price);
});
