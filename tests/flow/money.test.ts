import { expect, test } from 'bun:test';
import type { Accepted, Problem } from '../support/api.ts';
import { newPhone } from '../support/phones.ts';
import { assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

/** The price of a plain message of one page to MCI. */
const priceOf = async (): Promise<number> => {
  const json = { text: 'hello', phone: newPhone('912') };
  return (await stack.call<{ price: number }>('gateway', 'POST', '/preview', { json })).json.price;
};

test('a send that the balance does not cover is refused and leaves nothing', async () => {
  const price = await priceOf();
  await stack.charge('poor', price - 1);
  const phone = newPhone('912');
  const refused = await stack.trySend({ phone, user_id: 'poor' });
  expect([refused.status, refused.json.code]).toEqual([402, 'insufficient_balance']);
  expect((await stack.trySend({ phone, user_id: 'nobody' })).status).toBe(402);
  await assertSettled(stack, 'poor', 0);
  expect((await stack.report('poor')).items).toEqual([]);
  expect(stack.simulator.records('mci', { to: phone })).toEqual([]);

  await stack.charge('poor', 1);
  const sent = await stack.send({ phone, user_id: 'poor' });
  await stack.final(sent.message_id);
  await assertSettled(stack, 'poor', price);
  expect((await stack.balance('poor')).available).toBe(0);
});

test('two hundred sends at one moment spend a balance for exactly as many as it covers', async () => {
  const price = await priceOf();
  const covered = 37;
  await stack.charge('rush', price * covered + price - 1);
  const answers = await Promise.all(
    Array.from({ length: 200 }, () => stack.trySend({ phone: newPhone('912'), user_id: 'rush' })),
  );
  const statuses = answers.map(({ status }) => status);
  expect(statuses.filter((status) => status === 202)).toHaveLength(covered);
  expect(statuses.filter((status) => status === 402)).toHaveLength(200 - covered);
  for (const { status, json } of answers) if (status === 202) await stack.final(json.message_id);
  await assertSettled(stack, 'rush', price * covered);
  expect((await stack.balance('rush')).available).toBe(price - 1);
});

test('top-ups at the same moment as spends are all counted', async () => {
  const price = await priceOf();
  const rounds = 40;
  await stack.charge('busy', price);
  const work: Promise<unknown>[] = [];
  for (let i = 0; i < rounds; i++) {
    work.push(stack.charge('busy', price + i));
    work.push(stack.trySend({ phone: newPhone('912'), user_id: 'busy' }));
  }
  const answers = (await Promise.all(work)).filter((answer) => answer !== undefined) as {
    status: number;
    json: Accepted;
  }[];
  const accepted = answers.filter(({ status }) => status === 202);
  for (const { json } of accepted) await stack.final(json.message_id);
  const audit = await assertSettled(stack, 'busy', price * accepted.length);
  expect(audit.redis.topped_up).toBe(price + rounds * price + (rounds * (rounds - 1)) / 2);
});

test('a correction never takes more than is available, held money included', async () => {
  await stack.charge('fixed', 10_000);
  const adjust = (amount: number, reason = 'a refund at the counter') =>
    stack.call<Problem & { available: number }>('billing', 'POST', '/adjust/fixed', { json: { amount, reason } });
  expect((await adjust(-2_500)).json.available).toBe(7_500);
  expect((await adjust(500)).json.available).toBe(8_000);
  const refused = await adjust(-8_001);
  expect([refused.status, refused.json.code]).toEqual([402, 'insufficient_balance']);
  const audit = await assertSettled(stack, 'fixed', 0);
  expect(audit.redis).toMatchObject({ topped_up: 8_000, available: 8_000 });
});

test('the statement shows every top-up, correction and day of spending, and ends at the balance', async () => {
  await stack.charge('book', 20_000);
  const sent = await stack.send({ phone: newPhone('912'), user_id: 'book' });
  await stack.final(sent.message_id);
  await assertSettled(stack, 'book', sent.price);
  type Statement = { items: { kind: string; amount: number; balance_after: number }[] };
  const { json } = await stack.call<Statement>('report', 'GET', '/report/book/statement');
  expect(json.items.map(({ amount }) => amount).sort((a, b) => a - b)).toEqual([-sent.price, 20_000]);
  expect(json.items[0]?.balance_after).toBe(20_000 - sent.price);
});
