import { expect, test } from 'bun:test';
import { freePort } from '../../local/ports.ts';
import type { Rule } from '../../simulator/rules.ts';
import type { Message } from '../support/api.ts';
import type { OperatorSpec } from '../support/operators-file.ts';
import { newPhone, only } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack({
  operators: {
    MCI: { on_unknown: 'wait', unknown_wait_s: 1 },
    MTN: { on_unknown: 'resend' },
    Rightel: { on_unknown: 'wait' },
  },
});

const PREFIX = { mci: '912', mtn: '935', rightel: '920' } as const;
type Operator = keyof typeof PREFIX;
const BUDGET = 100_000;

/** One message of an account of its own, to an operator that answers that number by these rules. */
async function send(operator: Operator, ...rules: Omit<Rule, 'match'>[]) {
  const phone = newPhone(PREFIX[operator]);
  const userId = `u${phone}`;
  const match = only(phone);
  const others = stack.simulator.dials(operator).rules;
  stack.simulator.dials(operator, { rules: [...others, ...rules.map((rule) => ({ match, ...rule }))] });
  await stack.charge(userId, BUDGET);
  const accepted = await stack.send({ phone, user_id: userId, type: 'express' });
  const seen = () => stack.simulator.records(operator, { messageId: accepted.message_id })[0];
  return { ...accepted, userId, seen };
}

const eventsOf = ({ timeline }: Message): string[] => timeline.map(({ event }) => event);

test('an accepted message is sent and paid', async () => {
  const sent = await send('mci');
  const message = await stack.final(sent.message_id);
  expect(message).toMatchObject({ status: 'sent', posted: sent.price, attempts: 1, error: null, flags: [] });
  expect(eventsOf(message)).toEqual(['queued', 'sent']);
  expect(sent.seen()).toMatchObject({ received: 1, accepted: 1 });
  await assertSettled(stack, sent.userId, sent.price);
});

test('a rejected message fails at once and is refunded', async () => {
  const sent = await send('mci', { outcome: 'reject' });
  expect(await stack.final(sent.message_id)).toMatchObject({
    status: 'failed',
    posted: 0,
    attempts: 1,
    error: 'http_400',
    flags: [],
  });
  expect(sent.seen()).toMatchObject({ received: 1, accepted: 0 });
  await assertSettled(stack, sent.userId, 0);
});

test('a transient refusal is retried until the operator takes the message', async () => {
  const sent = await send('mci', { outcome: 'transient', times: 2 });
  const message = await stack.final(sent.message_id);
  expect(message).toMatchObject({ status: 'sent', posted: sent.price, attempts: 3, error: null, flags: [] });
  expect(eventsOf(message)).toEqual(['queued', 'retrying', 'retrying', 'sent']);
  expect(sent.seen()).toMatchObject({ received: 3, accepted: 1 });
  await assertSettled(stack, sent.userId, sent.price);
});

test("a link that is set up wrongly is the link's fault: the message is retried", async () => {
  const sent = await send('mci', { outcome: 'unauthorized', times: 1 });
  expect(await stack.final(sent.message_id)).toMatchObject({ status: 'sent', attempts: 2 });
  await assertSettled(stack, sent.userId, sent.price);
});

test('a throttled message waits, burns none of its retries and is sent', async () => {
  // More refusals than there are attempts: a single burned one would end it.
  const sent = await send('rightel', { outcome: 'throttle', times: 5 });
  const message = await stack.final(sent.message_id, 25_000);
  expect(message).toMatchObject({ status: 'sent', posted: sent.price, attempts: 1, error: null, flags: [] });
  expect(sent.seen()).toMatchObject({ received: 6, accepted: 1 });
  await assertSettled(stack, sent.userId, sent.price);
});

for (const [name, outcome, accepted] of [
  ['accepted and never answered', 'silent', 1],
  ['never answered', 'silent_drop', 0],
  ['cut off before the answer', 'disconnect_before', 0],
  ['accepted and cut off', 'disconnect_after', 1],
] as const) {
  test(`a submit that was ${name} is refunded after its wait, flagged as perhaps sent, and never repeated`, async () => {
    const sent = await send('mci', { outcome });
    const message = await stack.final(sent.message_id);
    expect(message).toMatchObject({ status: 'failed', posted: 0, attempts: 1, flags: ['perhaps_sent'] });
    expect(eventsOf(message)).toEqual(['queued', 'unknown', 'failed']);
    expect(sent.seen()).toMatchObject({ received: 1, accepted });
    await assertSettled(stack, sent.userId, 0);
  });
}

test('an answer that says nothing about the message (HTTP 500) is unknown as well', async () => {
  const sent = await send('mci', { outcome: 'transient', http_status: 500 });
  expect(await stack.final(sent.message_id)).toMatchObject({ status: 'failed', attempts: 1, flags: ['perhaps_sent'] });
  expect(sent.seen()).toMatchObject({ received: 1 });
  await assertSettled(stack, sent.userId, 0);
});

test('where the operator removes duplicates a lost answer is asked for again: accepted once, paid once, flagged', async () => {
  const sent = await send('mtn', { outcome: 'silent', times: 1 });
  const message = await stack.final(sent.message_id);
  expect(message).toMatchObject({ status: 'sent', posted: sent.price, attempts: 2, flags: ['perhaps_double'] });
  expect(sent.seen()).toMatchObject({ received: 2, accepted: 1 });
  await assertSettled(stack, sent.userId, sent.price);
});

test('a resent message that never gets an answer ends after 1 + 3 tries, refunded and flagged as perhaps sent', async () => {
  const sent = await send('mtn', { outcome: 'silent' });
  const message = await stack.final(sent.message_id);
  expect(message).toMatchObject({ status: 'failed', posted: 0, attempts: 4 });
  expect(message.flags).toContain('perhaps_sent');
  expect(sent.seen()).toMatchObject({ received: 4, accepted: 1 });
  await assertSettled(stack, sent.userId, 0);
});

test('an operator that cannot be reached was surely not told: retried to the end, refunded, and not flagged', async () => {
  const spec = stack.operators;
  const url = `http://127.0.0.1:${await freePort()}/rightel`;
  const closed = { ...spec.operators.Rightel, http: { ...spec.operators.Rightel?.http, url } } as OperatorSpec;
  stack.writeOperators({ ...spec, operators: { ...spec.operators, Rightel: closed } });
  await until('the dispatcher has read the new address', () =>
    stack.logs('dispatcher').some(({ event }) => event === 'file_reloaded'),
  );
  const sent = await send('rightel');
  expect(await stack.final(sent.message_id)).toMatchObject({
    status: 'failed',
    posted: 0,
    attempts: 4,
    error: 'connect_failed',
    flags: [],
  });
  expect(sent.seen()).toBeUndefined();
  await assertSettled(stack, sent.userId, 0);
});
