import { expect, test } from 'bun:test';
import type { DialsPatch } from '../../simulator/index.ts';
import type { Message } from '../support/api.ts';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';
import { isBound, recordOf, three } from './scene.ts';

const stack = useStack({
  operators: three({
    MCI: { on_unknown: 'wait', unknown_wait_s: 15 },
    MTN: {
      on_unknown: 'wait',
      unknown_wait_s: 1,
      smpp: { receipt_id: { response: 'hex', receipt: 'decimal' } },
    },
  }),
});

const PREFIX = { mci: '912', mtn: '935', rightel: '920' } as const;
type Operator = keyof typeof PREFIX;

/** One message of an account of its own to an operator whose receipts behave like this. */
async function send(
  operator: Operator,
  receipts: DialsPatch['receipts'],
  { text = 'hello', phone = '', rules = [] as DialsPatch['rules'] } = {},
) {
  const callback = operator === 'rightel' ? { callback_url: `${stack.urls.dispatcher}/receipts/Rightel` } : {};
  stack.simulator.reset(operator);
  stack.simulator.dials(operator, {
    ...(operator === 'mtn' ? { id_form: 'hex_then_decimal' as const } : {}),
    receipts: { mode: 'deliver', ...callback, ...receipts },
    rules,
  });
  const to = phone || newPhone(PREFIX[operator]);
  const userId = `u${to}`;
  await stack.charge(userId, 1_000_000);
  if (operator !== 'rightel') await isBound(stack, operator === 'mci' ? 'MCI' : 'MTN');
  const accepted = await stack.send({ phone: to, user_id: userId, text, type: 'express' });
  return { ...accepted, userId, phone: to };
}

const becomes = (id: string, status: string, withinMs = 20_000): Promise<Message> =>
  until(
    `message ${id} is ${status}`,
    async () => {
      const message = await stack.message(id);
      // An outcome may be read before the message itself.
      if (message.status !== status || message.phone === null) throw new Error(`it is ${message.status}`);
      return message;
    },
    { withinMs },
  );
const eventsOf = ({ timeline }: Message): string[] => timeline.map(({ event }) => event);
const receiptsSent = (operator: Operator, count: number) =>
  until('the receipts were taken', () => stack.simulator.counters(operator).receipts_answered >= count);
/** What the report has counted of an operator's receipts since its start, by its metrics. */
async function counted(operator: Operator): Promise<Record<string, number>> {
  const text = await (await fetch(`${stack.urls.report}/metrics`)).text();
  const lines = [...text.matchAll(/^jsms_report_receipts_total\{operator="(\w+)",outcome="(\w+)"\} (\d+)$/gm)];
  const own = lines.filter(([, name]) => name?.toLowerCase() === operator);
  return Object.fromEntries(own.map(([, , outcome, n]) => [outcome as string, Number(n)]));
}

for (const operator of ['mci', 'mtn', 'rightel'] as const) {
  test(`${operator}: a delivered message is delivered, an undelivered one says why, and both stay paid`, async () => {
    const good = await send(operator, {});
    const delivered = await becomes(good.message_id, 'delivered');
    expect(eventsOf(delivered)).toEqual(['queued', 'sent', 'delivered']);
    await assertSettled(stack, good.userId, good.price);
    const bad = await send(operator, { share_undelivered: 1 });
    const undelivered = await becomes(bad.message_id, 'undelivered');
    expect(undelivered).toMatchObject({ posted: bad.price });
    expect(eventsOf(undelivered)).toEqual(['queued', 'sent', 'undelivered']);
    await assertSettled(stack, bad.userId, bad.price);
  });

  test(`${operator}: a receipt that comes before its answer, one that comes late and one that comes twice are each one receipt`, async () => {
    const early = await send(operator, { early: true });
    expect(eventsOf(await becomes(early.message_id, 'delivered'))).toEqual(['queued', 'sent', 'delivered']);
    const late = await send(operator, { delay_ms: 1_500 });
    expect((await stack.final(late.message_id)).status).toBe('sent');
    await becomes(late.message_id, 'delivered');
    const doubledBefore = (await counted(operator)).doubled ?? 0;
    const double = await send(operator, { double: true });
    await receiptsSent(operator, 2);
    expect(eventsOf(await becomes(double.message_id, 'delivered'))).toEqual(['queued', 'sent', 'delivered']);
    await until('the second one is counted', async () => ((await counted(operator)).doubled ?? 0) > doubledBefore);
    for (const { userId, price } of [early, late, double]) await assertSettled(stack, userId, price);
  });
}

test('a message whose receipt never comes stays sent, and a receipt that decides nothing changes nothing', async () => {
  const missing = await send('mci', { share_missing: 1 });
  expect((await stack.final(missing.message_id)).status).toBe('sent');
  await until('it is missing', () => stack.simulator.counters('mci').receipts_missing > 0);
  await assertSettled(stack, missing.userId, missing.price);
  const onItsWay = await send('mci', { intermediate: 'ENROUTE', delay_ms: 1_000 });
  await receiptsSent('mci', 1);
  expect((await stack.final(onItsWay.message_id)).status).toBe('sent');
  expect(eventsOf(await becomes(onItsWay.message_id, 'delivered'))).toEqual(['queued', 'sent', 'delivered']);
  expect(eventsOf(await stack.message(missing.message_id))).toEqual(['queued', 'sent']);
  await assertSettled(stack, onItsWay.userId, onItsWay.price);
});

test('a Persian message of three pages with an emoji on the boundary arrives whole, and is delivered when each of its parts is', async () => {
  const text = `${'س'.repeat(66)}😀${'ل'.repeat(64)}😀${'م'.repeat(20)}`;
  const sent = await send('mci', { per_part: true }, { text });
  expect(sent).toMatchObject({ encoding: 'ucs2', pages: 3 });
  const message = await becomes(sent.message_id, 'delivered');
  expect(eventsOf(message)).toEqual(['queued', 'sent', 'delivered', 'delivered', 'delivered']);
  const record = recordOf(stack, 'mci', sent.phone);
  expect(record).toMatchObject({ text, parts: 3, received: 1, accepted: 1, encoding: 'ucs2' });
  expect(record?.part_counts.map((part) => part.text).join('')).toBe(text);
  expect(record?.part_counts[0]?.text).toBe('س'.repeat(66));
  await assertSettled(stack, sent.userId, sent.price);
});

test('a message is delivered when each of its parts is, and undelivered when any is not', async () => {
  const text = 'پ'.repeat(180);
  const receipt = (id: string | undefined, status: string) =>
    stack.call('dispatcher', 'POST', '/receipts/MCI', { json: { id, status } });
  const whole = await send('mci', { mode: 'none' }, { text });
  await stack.final(whole.message_id);
  const ids = recordOf(stack, 'mci', whole.phone)?.operator_ids ?? [];
  expect(ids).toHaveLength(3);
  for (const id of ids.slice(0, 2)) await receipt(id, 'delivered');
  await until('two parts are delivered', async () => eventsOf(await stack.message(whole.message_id)).length === 4);
  expect((await stack.message(whole.message_id)).status).toBe('sent');
  await receipt(ids[2], 'delivered');
  await becomes(whole.message_id, 'delivered');

  const partly = await send('mci', { mode: 'none' }, { text });
  await stack.final(partly.message_id);
  const [first, second, third] = recordOf(stack, 'mci', partly.phone)?.operator_ids ?? [];
  await receipt(first, 'delivered');
  await receipt(second, 'undelivered');
  await becomes(partly.message_id, 'undelivered');
  await receipt(third, 'delivered');
  await until('all parts have theirs', async () => eventsOf(await stack.message(partly.message_id)).length === 5);
  expect((await stack.message(partly.message_id)).status).toBe('undelivered');
  for (const { userId, price } of [whole, partly]) await assertSettled(stack, userId, price);
});

test('a message of which a part was refused is sent in part, and its report says why', async () => {
  const phone = newPhone('912');
  const rules = [{ match: phone.slice(1), part: 2, outcome: 'reject' as const }];
  const sent = await send('mci', { mode: 'none' }, { text: 'پ'.repeat(180), phone, rules });
  const message = await stack.final(sent.message_id);
  const posted = Math.ceil((sent.price * 2) / 3);
  expect(message).toMatchObject({ status: 'sent', error: 'smpp_0x0000000b', flags: ['partial'], posted });
  expect(message.timeline.find(({ event }) => event === 'sent')).toMatchObject({ detail: 'smpp_0x0000000b' });
  await assertSettled(stack, sent.userId, posted);
});

test('a receipt for nothing of ours is taken and changes nothing; one to an operator that does not exist is refused', async () => {
  const post = (operator: string, json: unknown) => stack.call('dispatcher', 'POST', `/receipts/${operator}`, { json });
  const earlyBefore = (await counted('rightel')).early ?? 0;
  expect((await post('rightel', { id: 'nobodys', status: 'delivered' })).status).toBe(202);
  await until('it waits', async () => ((await counted('rightel')).early ?? 0) > earlyBefore);
  expect((await post('Nobody', { id: '1', status: 'delivered' })).status).toBe(404);
  expect((await post('Rightel', { id: '1', status: 'perhaps' })).status).toBe(422);
});

/** Accepted by the operator and never answered. */
async function unanswered(operator: Operator, receipts: DialsPatch['receipts'], phone = newPhone(PREFIX[operator])) {
  stack.simulator.reset(operator);
  const sent = await send(operator, { ...receipts, share_missing: 1 }, { phone });
  await stack.final(sent.message_id);
  stack.simulator.dials(operator, {
    rules: [{ match: phone.slice(1), outcome: 'silent' }],
    receipts: { ...receipts, share_missing: 0 },
  });
  const again = await stack.send({ phone, user_id: sent.userId, text: 'unanswered', type: 'express' });
  return { ...again, userId: sent.userId, phone, paid: sent.price };
}

test('a receipt that bears our reference settles an unknown: it was sent, is paid, and is not sent again', async () => {
  const sent = await unanswered('mci', { delay_ms: 1_500, echo_reference: true });
  await becomes(sent.message_id, 'unknown');
  const message = await becomes(sent.message_id, 'delivered');
  expect(eventsOf(message)).toEqual(['queued', 'unknown', 'sent', 'delivered']);
  expect(message).toMatchObject({ posted: sent.price, attempts: 1, flags: [] });
  await assertSettled(stack, sent.userId, sent.paid + sent.price);
  expect(stack.simulator.counters('mci').doubled).toBe(0);
});

test('a receipt without it settles the only open unknown of its number', async () => {
  const sent = await unanswered('mci', { delay_ms: 1_500, echo_reference: false });
  await becomes(sent.message_id, 'unknown');
  const message = await becomes(sent.message_id, 'delivered', 30_000);
  expect(message).toMatchObject({ posted: sent.price, attempts: 1, flags: [] });
  await assertSettled(stack, sent.userId, sent.paid + sent.price);
});

test('where two are open for one number it settles neither: both are refunded, flagged as perhaps sent', async () => {
  const first = await unanswered('mci', { delay_ms: 1_500, echo_reference: false });
  const second = await stack.send({ phone: first.phone, user_id: first.userId, text: 'another', type: 'express' });
  for (const { message_id } of [first, second]) {
    const message = await becomes(message_id, 'failed', 40_000);
    expect(message).toMatchObject({ posted: 0, error: 'no_answer', flags: ['perhaps_sent'] });
  }
  await assertSettled(stack, first.userId, first.paid);
});

test('a refund stays a refund when the receipt comes too late: it is shown and moves no money', async () => {
  const afterBefore = (await counted('mtn')).after_refund ?? 0;
  const sent = await unanswered('mtn', { delay_ms: 5_000, echo_reference: true });
  const failed = await becomes(sent.message_id, 'failed');
  expect(failed).toMatchObject({ posted: 0, flags: ['perhaps_sent'] });
  await until('the receipt is in the timeline', async () =>
    eventsOf(await stack.message(sent.message_id)).includes('delivered'),
  );
  expect(await stack.message(sent.message_id)).toMatchObject({ status: 'failed', posted: 0 });
  expect((await counted('mtn')).after_refund ?? 0).toBeGreaterThan(afterBefore);
  await assertSettled(stack, sent.userId, sent.paid);
  await assertDrained(stack);
});
