import { expect, test } from 'bun:test';
import type { Accepted } from '../support/api.ts';
import { newPhone } from '../support/phones.ts';
import { assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

const replayed = (headers: Headers): string | null => headers.get('idempotency-replayed');

test('a send repeated with its key is sent and paid once, and answered as the first time', async () => {
  await stack.charge('key-1', 100_000);
  const body = { phone: newPhone('912'), user_id: 'key-1', text: 'once' };
  const answers = [];
  for (let i = 0; i < 3; i++) answers.push(await stack.trySend(body, 'order-1'));
  expect(answers.map(({ status, headers }) => [status, replayed(headers)])).toEqual([
    [202, null],
    [202, 'true'],
    [202, 'true'],
  ]);
  const first = answers[0]?.json as Accepted;
  for (const { json } of answers) expect<Accepted>(json).toEqual(first);
  await stack.final(first.message_id);
  expect((await stack.report('key-1')).items).toHaveLength(1);
  await assertSettled(stack, 'key-1', first.price);
});

test('twenty sends of one key at one moment are one message', async () => {
  await stack.charge('key-2', 100_000);
  const body = { phone: newPhone('935'), user_id: 'key-2', text: 'at once' };
  const answers = await Promise.all(Array.from({ length: 20 }, () => stack.trySend(body, 'order-2')));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 202));
  expect(new Set(answers.map(({ json }) => json.message_id)).size).toBe(1);
  const [{ json: first }] = answers as [(typeof answers)[0]];
  await stack.final(first.message_id);
  expect(stack.simulator.records('mtn', { to: body.phone })).toHaveLength(1);
  await assertSettled(stack, 'key-2', first.price);
});

test('a key with another body is a conflict and costs nothing; the same key of another account is its own', async () => {
  await Promise.all([stack.charge('key-3', 100_000), stack.charge('key-4', 100_000)]);
  const phone = newPhone('912');
  const first = await stack.send({ phone, user_id: 'key-3', text: 'one' }, 'k');
  for (const changed of [{ text: 'two' }, { phone: newPhone('912') }, { type: 'express' as const }]) {
    const conflict = await stack.trySend({ phone, user_id: 'key-3', text: 'one', ...changed }, 'k');
    expect([conflict.status, conflict.json.code]).toEqual([409, 'idempotency_conflict']);
  }
  const other = await stack.send({ phone, user_id: 'key-4', text: 'two' }, 'k');
  expect(other.message_id).not.toBe(first.message_id);
  await Promise.all([stack.final(first.message_id), stack.final(other.message_id)]);
  await assertSettled(stack, 'key-3', first.price);
  await assertSettled(stack, 'key-4', other.price);
});

test('a refusal is not remembered: the same key is taken once the balance allows it', async () => {
  const body = { phone: newPhone('912'), user_id: 'key-5', text: 'later' };
  expect((await stack.trySend(body, 'k')).status).toBe(402);
  await stack.charge('key-5', 100_000);
  const accepted = await stack.trySend(body, 'k');
  expect([accepted.status, replayed(accepted.headers)]).toEqual([202, null]);
  await stack.final(accepted.json.message_id);
  await assertSettled(stack, 'key-5', accepted.json.price);
});

test('a batch repeated with its key answers the same ids in the same order, and another batch under that key is a conflict', async () => {
  await stack.charge('key-6', 100_000);
  const messages = [
    { phone: newPhone('912'), text: 'a' },
    { phone: '0940', text: 'refused' },
    { phone: newPhone('920'), text: 'b' },
  ];
  const first = await stack.tryBatch('key-6', messages, 'b');
  const second = await stack.tryBatch('key-6', messages, 'b');
  expect([first.status, second.status, replayed(first.headers), replayed(second.headers)]).toEqual([
    202,
    202,
    null,
    'true',
  ]);
  expect(second.json).toEqual(first.json);
  const other = await stack.tryBatch('key-6', [...messages].reverse(), 'b');
  expect([other.status, other.json.code]).toEqual([409, 'idempotency_conflict']);
  const sent = first.json.results.filter((result): result is Accepted => 'message_id' in result);
  expect(sent).toHaveLength(2);
  for (const { message_id } of sent) await stack.final(message_id);
  await assertSettled(
    stack,
    'key-6',
    sent.reduce((sum, { price }) => sum + price, 0),
  );
});

test('a top-up repeated with its key counts once, and another amount under that key is a conflict', async () => {
  const charge = (amount: number) =>
    stack.call<{ transaction_id: string; available: number }>('billing', 'POST', `/charge/key-7?amount=${amount}`, {
      headers: { 'idempotency-key': 'payment-1' },
    });
  const [first, second] = [await charge(5_000), await charge(5_000)];
  expect([first.status, second.status, replayed(second.headers)]).toEqual([200, 200, 'true']);
  expect(second.json).toEqual(first.json);
  expect((await charge(6_000)).status).toBe(409);
  const audit = await assertSettled(stack, 'key-7', 0);
  expect(audit.redis.topped_up).toBe(5_000);
});
