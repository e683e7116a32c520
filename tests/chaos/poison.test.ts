/** The fear: one record that nobody can read stops everything behind it. */
import { expect, test } from 'bun:test';
import postgres from 'postgres';
import { PARTITIONS, TOPICS } from '../../shared/topics.ts';
import { newPhone } from '../support/phones.ts';
import { POISON } from '../support/poison.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { connectTestKafka } from '../support/stack-servers.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

test('records that nobody can read, in every partition of every topic, are passed by and kept; what is behind them goes on', async () => {
  const producer = connectTestKafka(stack.servers.kafkaBrokers).producer();
  await producer.connect();
  for (const topic of Object.values(TOPICS)) {
    const partitions = Array.from({ length: PARTITIONS[topic] ?? 0 }, (_, partition) => partition);
    const messages = POISON.flatMap((value, i) =>
      // The large ones once; the others in front of whatever comes, wherever it comes.
      (value?.length ?? 0) > 10_000
        ? [{ value, partition: i % partitions.length }]
        : partitions.map((partition) => ({ value, partition })),
    );
    await producer.send({ topic, messages });
  }
  await producer.disconnect();

  await stack.charge('behind', 100_000);
  const messages = Array.from({ length: 12 }, (_, i) => ({
    phone: newPhone(['912', '935', '920'][i % 3] as string),
    text: `behind ${i}`,
    type: i % 2 === 0 ? 'express' : 'normal',
  }));
  const { results } = await stack.sendBatch('behind', messages);
  let spent = 0;
  for (const result of results) {
    const message = await stack.final('message_id' in result ? result.message_id : '', 40_000);
    expect(message.status).toBe('sent');
    spent += message.posted;
  }
  const audit = await assertSettled(stack, 'behind', spent);
  expect(audit.postgres?.topped_up).toBe(100_000);
  await assertDrained(stack);

  const counted = async (service: 'dispatcher' | 'report'): Promise<number> => {
    const { text } = await stack.call(service, 'GET', '/metrics');
    return [...text.matchAll(/^jsms_\w+_poison_records_total(?:\{[^}]*\})? (\d+)/gm)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    );
  };
  const perTopic = (topic: string): number =>
    POISON.reduce((sum, value) => sum + ((value?.length ?? 0) > 10_000 ? 1 : (PARTITIONS[topic] ?? 0)), 0);
  const lanes = perTopic(TOPICS.express) + perTopic(TOPICS.normal) + perTopic(TOPICS.bulk);
  await until(
    'the dispatcher has counted each',
    async () => (await counted('dispatcher')) === lanes + perTopic(TOPICS.dlq),
  );
  const kept = lanes + perTopic(TOPICS.status) + perTopic(TOPICS.ledger);
  await until('the report has counted each', async () => (await counted('report')) === kept);
  const sql = postgres(stack.servers.databaseUrl, { max: 1 });
  const [row] = await sql`SELECT count(*)::int AS kept FROM poison_records`;
  await sql.end({ timeout: 5 });
  expect(row?.kept).toBe(kept);
  for (const service of ['dispatcher', 'report', 'billing', 'gateway'] as const)
    expect(stack.isAlive(service)).toBe(true);
});
