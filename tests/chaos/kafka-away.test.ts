/** The fear: Kafka is away, and what was accepted meanwhile is lost, doubled or refused. */
import { expect, test } from 'bun:test';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack({ ownKafka: true });
const MESSAGES = 60;

test('while Kafka is away messages are accepted; once it is back each is sent once, and top-ups are counted', async () => {
  const kafka = stack.servers.kafka as LocalServer;
  await stack.charge('away', 500_000);
  const first = await stack.send({ phone: newPhone('912'), user_id: 'away', text: 'before' });
  await stack.final(first.message_id);

  await kafka.kill();
  const startedAt = performance.now();
  const prefixes = ['912', '935', '920'];
  const answers = await Promise.all(
    Array.from({ length: MESSAGES }, (_, i) =>
      stack.trySend({ phone: newPhone(prefixes[i % 3] as string), user_id: 'away', text: `while away ${i}` }),
    ),
  );
  await stack.charge('away', 777);
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
  // Kafka is not on the way of an answer: nobody waited for its timeouts.
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  const received = () => stack.simulator.names.reduce((sum, name) => sum + stack.simulator.counters(name).received, 0);
  expect(received()).toBe(1);

  await kafka.restart();
  await until('all of it is sent', () => received() >= MESSAGES + 1, { withinMs: 60_000 });
  let spent = first.price;
  for (const { json } of answers) {
    expect(await stack.final(json.message_id, 60_000)).toMatchObject({ status: 'sent', attempts: 1, flags: [] });
    spent += json.price;
  }
  const audit = await assertSettled(stack, 'away', spent, 40_000);
  expect(audit.redis.topped_up).toBe(500_777);
  await assertDrained(stack);
  expect(received()).toBe(MESSAGES + 1);
  for (const name of stack.simulator.names) expect(stack.simulator.duplicates(name)).toEqual({});
});

test('past the bound of the outbox a send is refused before any hold, and taken again once Kafka has caught up', async () => {
  const kafka = stack.servers.kafka as LocalServer;
  await stack.restart('billing', { OUTBOX_MAX: '20' });
  await stack.charge('full', 500_000);
  await kafka.kill();
  let accepted = 0;
  const refused = await until(
    'the gateway refuses',
    async () => {
      const answer = await stack.trySend({ phone: newPhone('912'), user_id: 'full' });
      if (answer.status === 503) return answer;
      accepted += answer.status === 202 ? 1 : 0;
      return false;
    },
    { everyMs: 10 },
  );
  expect([refused.json.code, refused.headers.get('retry-after')]).toEqual(['unavailable', '1']);
  const held = (await stack.audit('full')).redis;
  expect(held.open_holds).toBe(accepted);

  await kafka.restart();
  const after = await until(
    'sends are taken again',
    async () => {
      const answer = await stack.trySend({ phone: newPhone('912'), user_id: 'full' });
      return answer.status === 202 && answer.json;
    },
    { withinMs: 60_000 },
  );
  await stack.final(after.message_id, 60_000);
  await assertSettled(stack, 'full', after.price * (accepted + 1), 40_000);
  await assertDrained(stack);
});
