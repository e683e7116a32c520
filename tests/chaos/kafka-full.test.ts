/** The fear: Kafka's disk is full, and what was accepted meanwhile is lost, doubled or refused. */
import { expect, test } from 'bun:test';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { fillDisk } from '../support/full-disk.ts';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack({ ownKafka: true });
const MESSAGES = 40;

test('without room on its disk Kafka ends; messages are accepted all the same, and each is sent once when it is back', async () => {
  const kafka = stack.servers.kafka as LocalServer;
  await stack.charge('full', 500_000);
  const first = await stack.send({ phone: newPhone('912'), user_id: 'full', text: 'before' });
  await stack.final(first.message_id);

  fillDisk(kafka.pid);
  const prefixes = ['912', '935', '920'];
  const answers = await Promise.all(
    Array.from({ length: MESSAGES }, (_, i) =>
      stack.trySend({ phone: newPhone(prefixes[i % 3] as string), user_id: 'full', text: `no room ${i}` }),
    ),
  );
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
  await until('Kafka has ended over it', () => !kafka.isAlive(), { withinMs: 30_000 });
  const later = await stack.send({ phone: newPhone('912'), user_id: 'full', text: 'and more' });

  await kafka.restart();
  let spent = first.price;
  for (const { message_id, price } of [...answers.map(({ json }) => json), later]) {
    expect(await stack.final(message_id, 60_000)).toMatchObject({ status: 'sent', attempts: 1, flags: [] });
    spent += price;
  }
  await assertSettled(stack, 'full', spent, 40_000);
  await assertDrained(stack);
  const received = stack.simulator.names.reduce((sum, name) => sum + stack.simulator.counters(name).received, 0);
  expect(received).toBe(MESSAGES + 2);
});
