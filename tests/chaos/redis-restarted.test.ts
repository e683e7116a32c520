/** The fear: Redis dies, and money or messages that were acknowledged are not there when it is back. */
import { expect, test } from 'bun:test';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack({ operators: { '*': { on_unknown: 'resend' } } });

test('Redis killed in the middle of sends: no wrong 202, no lost one, and the books balance when it is back', async () => {
  await stack.charge('disk', 10_000_000);
  const answers: { status: number; code: string | undefined; id: string | undefined; price: number }[] = [];
  let stop = false;
  const client = async (n: number): Promise<void> => {
    for (let i = 0; !stop; i++) {
      const { status, json } = await stack.trySend({
        phone: newPhone('935'),
        user_id: 'disk',
        text: `client ${n}, ${i}`,
      });
      answers.push({ status, code: json.code, id: json.message_id, price: json.price });
    }
  };
  const clients = Array.from({ length: 8 }, (_, n) => client(n));
  const count = (status: number) => answers.filter((answer) => answer.status === status).length;
  await until('a hundred are accepted', () => count(202) >= 100, { everyMs: 10 });
  await stack.servers.redis.kill();
  await until('sends are refused', () => count(503) >= 8, { everyMs: 10 });
  await stack.servers.redis.restart();
  const before = count(202);
  await until('sends are taken again', () => count(202) >= before + 50, { everyMs: 10, withinMs: 30_000 });
  stop = true;
  await Promise.all(clients);

  const accepted = answers.filter(({ status }) => status === 202);
  const refused = answers.filter(({ status }) => status !== 202);
  expect([...new Set(refused.map(({ status, code }) => `${status} ${code}`))].sort()).toEqual(
    expect.arrayContaining(['503 unavailable']),
  );
  for (const { status, code, id } of refused) {
    expect(status).toBe(503);
    expect(['unavailable', 'outcome_unknown']).toContain(code as string);
    // Whoever is told that nobody knows is told where to look.
    if (code === 'outcome_unknown') expect(id).toBeString();
  }
  for (const { id } of accepted) expect((await stack.final(id as string, 60_000)).status).toBe('sent');
  await assertDrained(stack);
  // What was told "unknown" may have been accepted, but then it is sent and paid whole.
  let spent = accepted.reduce((sum, { price }) => sum + price, 0);
  for (const { code, id } of refused) {
    if (code !== 'outcome_unknown') continue;
    const looked = await stack.call<{ status: string; posted: number }>('report', 'GET', `/messages/${id}`);
    expect([200, 404]).toContain(looked.status);
    if (looked.status === 200) {
      expect(looked.json.status).toBe('sent');
      spent += looked.json.posted;
    }
  }
  await assertSettled(stack, 'disk', spent);
  for (const name of stack.simulator.names) expect(stack.simulator.duplicates(name)).toEqual({});
});
