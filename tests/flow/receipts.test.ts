import { beforeAll, expect, test } from 'bun:test';
import type { ReceiptDials } from '../../simulator/dials.ts';
import { newPhone } from '../support/phones.ts';
import { assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

/** Each operator sends its receipts in a way of its own. */
const WAYS: Record<string, Partial<ReceiptDials>> = {
  mci: { delay_ms: 100 },
  mtn: { double: true },
  rightel: { early: true },
};

beforeAll(() => {
  for (const [name, way] of Object.entries(WAYS)) {
    const callback_url = `${stack.urls.dispatcher}/receipts/${name}`;
    stack.simulator.dials(name, { latency_ms: 50, receipts: { mode: 'deliver', callback_url, ...way } });
  }
});

for (const [operator, prefix, how] of [
  ['mci', '912', 'a late receipt'],
  ['mtn', '935', 'a receipt that comes twice'],
  ['rightel', '920', 'a receipt that comes before the answer to its submit'],
] as const) {
  test(`${how} makes the message delivered, once, and moves no money`, async () => {
    const userId = `receipt-${operator}`;
    await stack.charge(userId, 10_000);
    const sent = await stack.send({ phone: newPhone(prefix), user_id: userId });
    const message = await stack.reaches(sent.message_id, 'delivered');
    expect(message).toMatchObject({ posted: sent.price, attempts: 1, flags: [] });
    expect(message.timeline.map(({ event }) => event).sort()).toEqual(['delivered', 'queued', 'sent']);
    await assertSettled(stack, userId, sent.price);
  });
}

test('a message that the handset never got is undelivered, with the reason, and stays paid: the operator took it', async () => {
  await stack.charge('undelivered', 10_000);
  stack.simulator.dials('mci', { receipts: { share_undelivered: 1 } });
  const sent = await stack.send({ phone: newPhone('912'), user_id: 'undelivered' });
  const message = await stack.reaches(sent.message_id, 'undelivered');
  expect(message.posted).toBe(sent.price);
  await assertSettled(stack, 'undelivered', sent.price);
  stack.simulator.dials('mci', { receipts: { share_undelivered: 0 } });
});

test("a receipt of nobody's message, and one of another operator's, change nothing", async () => {
  await stack.charge('stranger', 10_000);
  stack.simulator.dials('mci', { receipts: { mode: 'none' } });
  const phone = newPhone('912');
  const sent = await stack.send({ phone, user_id: 'stranger' });
  await stack.final(sent.message_id);
  const id = stack.simulator.records('mci', { to: phone })[0]?.operator_ids[0];
  const receipt = (operator: string, json: unknown) =>
    stack.call('dispatcher', 'POST', `/receipts/${operator}`, { json });
  expect((await receipt('mtn', { id, status: 'delivered' })).status).toBe(202);
  expect((await receipt('mci', { id: 'unknown-1', status: 'delivered' })).status).toBe(202);
  expect((await stack.message(sent.message_id)).status).toBe('sent');
  // Its own comes after the strangers on the same way: when it counts, they have been read.
  expect((await receipt('mci', { id, status: 'undelivered', error: 'handset off' })).status).toBe(202);
  const message = await stack.reaches(sent.message_id, 'undelivered');
  expect(message.timeline.map(({ event }) => event)).toEqual(['queued', 'sent', 'undelivered']);
  // The first final word stands.
  expect((await receipt('mci', { id, status: 'delivered' })).status).toBe(202);
  await assertSettled(stack, 'stranger', sent.price);
  expect((await stack.message(sent.message_id)).status).toBe('undelivered');
});
