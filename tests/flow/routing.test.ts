import { expect, test } from 'bun:test';
import type { Accepted } from '../support/api.ts';
import { e164, newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

/** Digits after the leading 0, from the numbering plan, row by row. */
const TABLE: readonly (readonly [prefixes: string, operator: string])[] = [
  ['910 911 912 913 914 915 916 917 918 919 990 991 992 993 994 996', 'MCI'],
  ['932', 'MCI'],
  ['900 901 902 903 904 905 930 933 935 936 937 938 939', 'MTN'],
  ['920 921 922 923', 'Rightel'],
  ['931', 'MCI'],
  ['934', 'MTN'],
  ['9981 9982', 'Rightel'],
  ['99900 99901 99902 99903', 'MCI'],
  ['9991', 'MTN'],
  ['99921 99930 99931 99932 99933 99934', 'MTN'],
  ['9995 99969', 'MCI'],
  ['9998 9999', 'Rightel'],
  ['99550', 'MTN'],
];
const ROWS = TABLE.flatMap(([prefixes, operator]) => prefixes.split(' ').map((prefix) => ({ prefix, operator })));

test('a number of every row of the numbering plan reaches its operator, and no other', async () => {
  await stack.charge('plan', 10_000_000);
  const messages = ROWS.map(({ prefix }) => ({ phone: newPhone(prefix), text: prefix }));
  const { results } = await stack.sendBatch('plan', messages);
  expect(results.map((result) => ('operator' in result ? result.operator : result))).toEqual(
    ROWS.map(({ operator }) => operator),
  );
  const reached = () =>
    new Map(
      stack.simulator.names.flatMap((name) => stack.simulator.records(name).map(({ to }) => [to, name] as const)),
    );
  await until('all have reached an operator', () => reached().size === ROWS.length);
  for (const [i, { prefix, operator }] of ROWS.entries()) {
    const phone = e164((messages[i] as { phone: string }).phone);
    expect([prefix, reached().get(phone)]).toEqual([prefix, operator.toLowerCase()]);
  }
  await assertSettled(
    stack,
    'plan',
    (results as Accepted[]).reduce((sum, { price }) => sum + price, 0),
  );
});

test('every usual spelling of a number is the same number', async () => {
  await stack.charge('spell', 1_000_000);
  const digits = newPhone('912').slice(1);
  const persian = [...`0${digits}`].map((digit) => '۰۱۲۳۴۵۶۷۸۹'[Number(digit)]).join('');
  const arabic = [...`0${digits}`].map((digit) => '٠١٢٣٤٥٦٧٨٩'[Number(digit)]).join('');
  const spellings = [
    `0${digits}`,
    digits,
    `98${digits}`,
    `+98${digits}`,
    `0098${digits}`,
    persian,
    arabic,
    ` (0${digits.slice(0, 3)}) ${digits.slice(3, 6)}-${digits.slice(6)} `,
  ];
  const answers = await Promise.all(spellings.map((phone) => stack.trySend({ phone, user_id: 'spell' })));
  expect(answers.map(({ status }) => status)).toEqual(spellings.map(() => 202));
  for (const { json } of answers) expect((await stack.final(json.message_id)).phone).toBe(`+98${digits}`);
  await assertSettled(
    stack,
    'spell',
    answers.reduce((sum, { json }) => sum + json.price, 0),
  );
});

test('a number that no operator carries is refused before money moves', async () => {
  await stack.charge('lost', 10_000);
  for (const prefix of ['940', '95', '997', '9983', '9997', '924']) {
    const { status, json } = await stack.trySend({ phone: newPhone(prefix), user_id: 'lost' });
    expect([prefix, status, json.code]).toEqual([prefix, 422, 'no_route']);
  }
  await assertSettled(stack, 'lost', 0);
});

test('a ported number goes to its new operator, at the gateway and at the dispatcher, whatever its prefix', async () => {
  await stack.charge('ported', 100_000);
  const [phone, neighbour] = [newPhone('912'), newPhone('912')];
  stack.writeOperators({ ...stack.operators, ported_numbers: { [e164(phone)]: 'Rightel' } });
  for (const service of ['gateway', 'dispatcher'] as const) {
    await until(`${service} has read the file`, () =>
      stack.logs(service).some(({ event }) => event === 'file_reloaded'),
    );
  }
  const sent = await stack.send({ phone, user_id: 'ported' });
  const other = await stack.send({ phone: neighbour, user_id: 'ported' });
  expect([sent.operator, other.operator]).toEqual(['Rightel', 'MCI']);
  expect((await stack.final(sent.message_id)).operator).toBe('Rightel');
  await stack.final(other.message_id);
  expect(stack.simulator.records('rightel', { to: phone })).toHaveLength(1);
  expect(stack.simulator.records('mci', { to: phone })).toEqual([]);
  expect(stack.simulator.records('mci', { to: neighbour })).toHaveLength(1);
  await assertSettled(stack, 'ported', sent.price + other.price);
});

test('a bad operators file is refused with its reasons and the old one stays; a good one is taken', async () => {
  await stack.charge('reload', 100_000);
  const good = stack.operators;
  const refusals = () => stack.logs('dispatcher').filter(({ event }) => event === 'file_refused').length;
  for (const bad of [{ operators: {} }, { ...good, ported_numbers: { '+989121234567': 'Nobody' } }, 'no JSON object']) {
    const before = refusals();
    stack.writeOperators(bad);
    await until('the dispatcher refuses it', () => refusals() > before);
    const sent = await stack.send({ phone: newPhone('912'), user_id: 'reload' });
    expect((await stack.final(sent.message_id)).status).toBe('sent');
  }
  const last = stack.logs('dispatcher').findLast(({ event }) => event === 'file_refused');
  expect(last?.problems).toEqual([expect.stringContaining('operator.json')]);

  const mtn = good.operators.MTN as (typeof good.operators)[string];
  const moved = { ...good.operators, MTN: { ...mtn, prefixes: [...mtn.prefixes, '941'] } };
  stack.writeOperators({ ...good, operators: moved });
  const phone = newPhone('941');
  const sent = await until('the gateway routes the new prefix', async () => {
    const answer = await stack.trySend({ phone, user_id: 'reload' });
    return answer.status === 202 && answer.json;
  });
  expect(sent.operator).toBe('MTN');
  expect((await stack.final(sent.message_id)).status).toBe('sent');
  await until('the books balance', async () => (await stack.audit('reload')).balanced);
});
