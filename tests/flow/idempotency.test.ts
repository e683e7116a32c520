import { expect, test } from 'bun:test';
import type { Accepted } from '../support/api.ts';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
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

/** Waits until the gateway has these operators in force, by what it says of a number. */
async function routes(phone: string, carried: boolean): Promise<void> {
  await until(`${phone} is ${carried ? '' : 'not '}carried`, async () => {
    const { status } = await stack.call('gateway', 'POST', '/preview', { json: { text: 'a', phone } });
    return (status === 200) === carried;
  });
}

test('rules that change between a request and its repetition change nothing of the answer, and send nothing', async () => {
  await stack.charge('key-8', 100_000);
  const good = stack.operators;
  const going = newPhone('920');
  const coming = newPhone('940');
  const messages = [going, coming, newPhone('912'), '0940', newPhone('935')].map((phone) => ({ phone, text: phone }));
  const lone = { phone: going, user_id: 'key-8', text: 'alone' };
  const batch = () => stack.tryBatch('key-8', messages, 'b');
  const [first, alone] = [await batch(), await stack.trySend(lone, 's')];
  const onlyGoing = () => stack.tryBatch('key-8', [messages[0]], 'o');
  const whole = await onlyGoing();
  const sent = [...first.json.results, ...whole.json.results, alone.json].filter((one) => 'message_id' in one);
  expect(sent).toHaveLength(5);
  for (const { message_id } of sent) await stack.final(message_id);

  const { Rightel, MTN, ...others } = good.operators;
  if (!Rightel || !MTN) throw new Error('the operators have other names');
  const moved = {
    ...others,
    Rightel: { ...Rightel, prefixes: Rightel.prefixes.filter((prefix) => !prefix.startsWith('920')) },
    MTN: { ...MTN, prefixes: [...MTN.prefixes, '940'] },
  };
  stack.writeOperators({ ...good, operators: moved });
  try {
    await Promise.all([routes(going, false), routes(coming, true)]);
    for (const [was, again] of [
      [first, await batch()],
      [alone, await stack.trySend(lone, 's')],
      [whole, await onlyGoing()],
    ] as const) {
      expect([again.status, replayed(again.headers)]).toEqual([202, 'true']);
      expect<unknown>(again.json).toEqual(was.json);
    }
    // A key is known by its body, also where today's rules refuse all of it.
    expect((await stack.trySend({ ...lone, text: 'other' }, 's')).status).toBe(409);
    expect((await stack.tryBatch('key-8', [messages[0], messages[0]], 'o')).status).toBe(409);
    // And one that is not known is refused as without it, and not kept.
    expect((await stack.trySend(lone, 'new')).json.code).toBe('no_route');
    expect((await stack.tryBatch('key-8', [messages[0]], 'fresh')).json).toMatchObject({ accepted: 0, refused: 1 });
  } finally {
    stack.writeOperators(good);
  }
  await routes(going, true);
  const later = await stack.trySend(lone, 'new');
  expect([later.status, replayed(later.headers)]).toEqual([202, null]);
  await stack.final(later.json.message_id);
  const paid = [...sent, later.json].reduce((sum, { price }) => sum + price, 0);
  await assertSettled(stack, 'key-8', paid);
  expect((await stack.report('key-8')).items).toHaveLength(6);
});
