/** The fear: a message is sent twice, lost or paid wrongly, because the dispatcher died somewhere between claim and commit. */
import { expect, test } from 'bun:test';
import type { Failpoint } from '../../shared/failpoint.ts';
import { newPhone, only } from '../support/phones.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

/** MCI's lost answers are waited for and refunded; MTN removes duplicates, so they are asked for again. */
const stack = useStack({
  operators: { MCI: { on_unknown: 'wait', unknown_wait_s: 1 }, MTN: { on_unknown: 'resend' } },
});

const PREFIX = { mci: '912', mtn: '935' } as const;

type Case = {
  at: Failpoint;
  operator: keyof typeof PREFIX;
  /** What the report says in the end. */
  ends: { status: 'sent' | 'failed'; attempts: number; flags: string[] };
  /** How often the operator got it, and took it; null: never heard of it. */
  seen: { received: number; accepted: number } | null;
};

const SENT = { status: 'sent', attempts: 1, flags: [] } as Case['ends'];
const REFUNDED = { status: 'failed', attempts: 1, flags: ['perhaps_sent'] } as Case['ends'];
const RESENT = { status: 'sent', attempts: 2, flags: ['perhaps_double'] } as Case['ends'];
const ONCE = { received: 1, accepted: 1 };

const CASES: readonly Case[] = [
  { at: 'dispatcher.before_claim', operator: 'mci', ends: SENT, seen: ONCE },
  // Whether a claimed message was submitted nobody knows but the dead.
  { at: 'dispatcher.after_claim', operator: 'mci', ends: REFUNDED, seen: null },
  { at: 'dispatcher.after_claim', operator: 'mtn', ends: RESENT, seen: ONCE },
  { at: 'dispatcher.after_submit', operator: 'mci', ends: REFUNDED, seen: ONCE },
  { at: 'dispatcher.after_submit', operator: 'mtn', ends: RESENT, seen: { received: 2, accepted: 1 } },
  { at: 'dispatcher.after_settle', operator: 'mci', ends: SENT, seen: ONCE },
  { at: 'dispatcher.after_publish', operator: 'mci', ends: SENT, seen: ONCE },
  { at: 'dispatcher.before_commit', operator: 'mci', ends: SENT, seen: ONCE },
];

for (const { at, operator, ends, seen } of CASES) {
  const how =
    ends === SENT ? 'is sent and paid once' : ends === RESENT ? 'is sent again, paid once' : 'is refunded and flagged';
  test(`killed at ${at}, a message to ${operator.toUpperCase()} ${how}`, async () => {
    const userId = `${at}-${operator}`;
    await stack.charge(userId, 10_000);
    await stack.arm('dispatcher', at);
    const sent = await stack.send({ phone: newPhone(PREFIX[operator]), user_id: userId, type: 'express' });
    await stack.died('dispatcher');
    await stack.restart('dispatcher');
    const message = await stack.final(sent.message_id, 40_000);
    expect(message).toMatchObject({ ...ends, posted: ends.status === 'sent' ? sent.price : 0 });
    await assertSettled(stack, userId, message.posted);
    await assertDrained(stack);
    const [record] = stack.simulator.records(operator, { messageId: sent.message_id });
    expect(record ? { received: record.received, accepted: record.accepted } : null).toEqual(seen);
  });
}

test('killed as it hands a retry over, a message has its retry all the same, and no more', async () => {
  await stack.charge('retry', 10_000);
  const phone = newPhone('912');
  stack.simulator.dials('mci', { rules: [{ match: only(phone), outcome: 'transient', times: 1 }] });
  await stack.arm('dispatcher', 'dispatcher.retry_released');
  const sent = await stack.send({ phone, user_id: 'retry' });
  await stack.died('dispatcher');
  await stack.restart('dispatcher');
  expect(await stack.final(sent.message_id, 40_000)).toMatchObject({ status: 'sent', attempts: 2, flags: [] });
  await assertSettled(stack, 'retry', sent.price);
  await assertDrained(stack);
  expect(stack.simulator.records('mci', { to: phone })[0]).toMatchObject({ received: 2, accepted: 1 });
});

test('killed before it kept a receipt, it never said that it had: the operator sends it again', async () => {
  await stack.charge('receipt', 10_000);
  const phone = newPhone('912');
  const sent = await stack.send({ phone, user_id: 'receipt' });
  await stack.final(sent.message_id);
  const id = stack.simulator.records('mci', { to: phone })[0]?.operator_ids[0];
  const receipt = () => stack.call('dispatcher', 'POST', '/receipts/mci', { json: { id, status: 'delivered' } });
  await stack.arm('dispatcher', 'dispatcher.receipt_before_produce');
  await expect(receipt()).rejects.toThrow();
  await stack.died('dispatcher');
  await stack.restart('dispatcher');
  expect([(await receipt()).status, (await receipt()).status]).toEqual([202, 202]);
  await stack.reaches(sent.message_id, 'delivered');
  await assertSettled(stack, 'receipt', sent.price);
});
