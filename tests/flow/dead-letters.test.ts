import { expect, test } from 'bun:test';
import type { Accepted, Problem } from '../support/api.ts';
import { newPhone, only } from '../support/phones.ts';
import { assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

type DeadLetter = {
  message_id: string;
  user_id: string;
  reason: string;
  attempts: number;
  replayed_as: string | null;
  history: { event: string; attempt: number | null }[];
};
type Replay = Accepted & Problem & { replay_of: string; already_replayed: boolean };

const deadLetters = async (userId: string): Promise<DeadLetter[]> =>
  (await stack.call<{ items: DeadLetter[] }>('report', 'GET', `/dead-letters?user_id=${userId}`)).json.items;
const replay = (id: string) => stack.call<Replay>('report', 'POST', `/dead-letters/${id}/replay`);

/** A message whose operator never takes it. */
async function deadMessage(userId: string) {
  const phone = newPhone('912');
  stack.simulator.dials('mci', { rules: [{ match: only(phone), outcome: 'transient' }] });
  await stack.charge(userId, 10_000);
  const sent = await stack.send({ phone, user_id: userId, text: 'one last try', client_ref: 'order-7' });
  return { sent, message: await stack.final(sent.message_id) };
}

test('a message that always fails is tried 1 + 3 times with growing waits, refunded, and kept as a dead letter with its history', async () => {
  const { sent, message } = await deadMessage('dead-1');
  expect(message).toMatchObject({ status: 'failed', posted: 0, attempts: 4, error: 'http_503', flags: [] });
  expect(message.timeline.map(({ event }) => event)).toEqual(['queued', 'retrying', 'retrying', 'retrying', 'failed']);
  const tries = message.timeline.slice(1).map(({ at }) => Date.parse(at));
  const waits = tries.slice(1).map((at, i) => at - (tries[i] as number));
  // RETRY_WAITS_S of these tests, each up to a fifth longer by chance.
  for (const [i, least] of [200, 400, 800].entries()) expect(waits[i]).toBeGreaterThanOrEqual(least);
  expect(stack.simulator.records('mci', { messageId: sent.message_id })[0]).toMatchObject({ received: 4, accepted: 0 });
  await assertSettled(stack, 'dead-1', 0);

  const [letter, ...others] = await deadLetters('dead-1');
  expect(others).toEqual([]);
  expect(letter).toMatchObject({
    message_id: sent.message_id,
    user_id: 'dead-1',
    reason: 'http_503',
    attempts: 4,
    replayed_as: null,
  });
  expect(letter?.history.map(({ event }) => event)).toEqual(['queued', 'retrying', 'retrying', 'retrying', 'failed']);
});

test('two replays of a dead letter are one new message, sent once and paid once', async () => {
  const { sent } = await deadMessage('dead-2');
  stack.simulator.dials('mci', { rules: [] });
  const [first, second] = await Promise.all([replay(sent.message_id), replay(sent.message_id)]);
  const third = await replay(sent.message_id);
  expect([first.status, second.status, third.status]).toEqual([202, 202, 202]);
  expect(new Set([first, second, third].map(({ json }) => json.message_id)).size).toBe(1);
  expect(first.json.message_id).not.toBe(sent.message_id);
  expect(third.json).toMatchObject({ replay_of: sent.message_id, already_replayed: true });

  const again = await stack.final(first.json.message_id);
  expect(again).toMatchObject({
    status: 'sent',
    replay_of: sent.message_id,
    text: 'one last try',
    client_ref: 'order-7',
    posted: sent.price,
  });
  expect(stack.simulator.records('mci', { messageId: again.message_id })[0]).toMatchObject({
    received: 1,
    accepted: 1,
  });
  expect((await deadLetters('dead-2'))[0]?.replayed_as).toBe(again.message_id);
  await assertSettled(stack, 'dead-2', sent.price);
});

test('a dead letter that cannot be paid stays, and is replayed once it can', async () => {
  const { sent } = await deadMessage('dead-3');
  stack.simulator.dials('mci', { rules: [] });
  const take = (amount: number) =>
    stack.call('billing', 'POST', '/adjust/dead-3', { json: { amount, reason: 'a test' } });
  expect((await take(-10_000)).status).toBe(200);
  const refused = await replay(sent.message_id);
  expect([refused.status, refused.json.code]).toEqual([402, 'insufficient_balance']);
  expect((await take(sent.price)).status).toBe(200);
  const replayed = await replay(sent.message_id);
  expect(replayed.status).toBe(202);
  expect(await stack.final(replayed.json.message_id)).toMatchObject({ status: 'sent', posted: sent.price });
  await assertSettled(stack, 'dead-3', sent.price);
});

test('a discarded dead letter is listed no more and cannot be replayed; its message stays', async () => {
  const { sent } = await deadMessage('dead-4');
  const discard = () => stack.call<Problem>('report', 'DELETE', `/dead-letters/${sent.message_id}`);
  expect((await discard()).status).toBe(204);
  expect(await deadLetters('dead-4')).toEqual([]);
  expect([(await discard()).status, (await replay(sent.message_id)).status]).toEqual([404, 404]);
  expect((await stack.message(sent.message_id)).status).toBe('failed');
  await assertSettled(stack, 'dead-4', 0);
});
