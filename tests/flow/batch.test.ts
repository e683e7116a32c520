import { expect, test } from 'bun:test';
import type { Accepted } from '../support/api.ts';
import { e164, newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

const codeOf = (result: object): string => ('error' in result ? (result.error as { code: string }).code : 'accepted');

test("one message's refusal is not another's: each of a batch has its own result, in order", async () => {
  await stack.charge('batch-1', 1_000_000);
  const good = () => ({ phone: newPhone('912'), text: 'سلام' });
  const messages: [unknown, string][] = [
    [good(), 'accepted'],
    [{ phone: '02188888888', text: 'a landline' }, 'invalid_request'],
    [{ phone: '09401234567', text: 'nobody carries this' }, 'no_route'],
    [{ ...good(), type: 'express', client_ref: 'third' }, 'accepted'],
    [{ ...good(), text: '' }, 'invalid_request'],
    [{ ...good(), text: 'ب'.repeat(671) }, 'invalid_request'],
    [{ ...good(), type: 'EXPRESS' }, 'invalid_request'],
    [{ ...good(), sender: '99999' }, 'invalid_request'],
    [{ ...good(), colour: 'red' }, 'invalid_request'],
    [null, 'invalid_request'],
    ['a text', 'invalid_request'],
    [{ phone: newPhone('935'), text: 'last' }, 'accepted'],
  ];
  const answer = await stack.sendBatch(
    'batch-1',
    messages.map(([message]) => message),
  );
  expect(answer.results.map(codeOf)).toEqual(messages.map(([, code]) => code));
  expect([answer.accepted, answer.refused]).toEqual([3, 9]);

  const sent = answer.results.filter((result): result is Accepted => 'message_id' in result);
  for (const { message_id } of sent) {
    expect(await stack.final(message_id)).toMatchObject({ status: 'sent', batch_id: answer.batch_id });
  }
  const { items } = await stack.report('batch-1', `?batch=${answer.batch_id}`);
  expect(new Set(items.map(({ message_id }) => message_id))).toEqual(new Set(sent.map(({ message_id }) => message_id)));
  expect(items.find(({ client_ref }) => client_ref === 'third')?.type).toBe('express');
  await assertSettled(
    stack,
    'batch-1',
    sent.reduce((sum, { price }) => sum + price, 0),
  );
});

test('a batch that the balance covers in part is accepted in part, from its beginning, to the last Rial', async () => {
  const price = (
    await stack.call<{ price: number }>('gateway', 'POST', '/preview', {
      json: { text: 'سلام', phone: newPhone('912') },
    })
  ).json.price;
  await stack.charge('batch-2', price * 3);
  const messages = Array.from({ length: 5 }, () => ({ phone: newPhone('912'), text: 'سلام' }));
  const answer = await stack.sendBatch('batch-2', messages);
  expect(answer.results.map(codeOf)).toEqual([
    'accepted',
    'accepted',
    'accepted',
    'insufficient_balance',
    'insufficient_balance',
  ]);
  await assertSettled(stack, 'batch-2', price * 3);
  expect((await stack.balance('batch-2')).available).toBe(0);
});

test('a thousand messages of one batch are all sent once and paid once', async () => {
  await stack.charge('batch-3', 10_000_000);
  const messages = Array.from({ length: 1_000 }, (_, i) => ({
    phone: newPhone(['912', '935', '920'][i % 3] as string),
    text: `message ${i}`,
  }));
  const answer = await stack.sendBatch('batch-3', messages);
  expect(answer.accepted).toBe(1_000);
  const sent = answer.results as Accepted[];
  // The answers stand in the order of the messages.
  expect(sent.map(({ operator }) => operator)).toEqual(
    messages.map((_, i) => ['MCI', 'MTN', 'Rightel'][i % 3] as string),
  );
  await until('all thousand are sent', async () => (await stack.report('batch-3', '?limit=1')).counts.sent === 1_000, {
    withinMs: 60_000,
  });
  const records = stack.simulator.names.flatMap((name) => stack.simulator.records(name, { limit: 5_000 }));
  const mine = new Set(messages.map(({ phone }) => e164(phone)));
  const got = records.filter(({ to }) => mine.has(to));
  expect(got).toHaveLength(1_000);
  expect(got.filter(({ received, accepted }) => received !== 1 || accepted !== 1)).toEqual([]);
  await assertSettled(
    stack,
    'batch-3',
    sent.reduce((sum, { price }) => sum + price, 0),
  );
});

test('an empty batch and one of more than a thousand are refused whole', async () => {
  const one = { phone: newPhone('912'), text: 'a' };
  for (const messages of [[], Array.from({ length: 1_001 }, () => one)]) {
    const answer = await stack.tryBatch('batch-4', messages);
    expect([answer.status, answer.json.code]).toEqual([422, 'invalid_request']);
  }
});
