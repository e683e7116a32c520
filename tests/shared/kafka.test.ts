import { afterAll, expect, test } from 'bun:test';
import { setTimeout as delay } from 'node:timers/promises';
import { newId } from '../../shared/id.ts';
import { connectKafka, type Stream } from '../../shared/kafka.ts';
import { createLog } from '../../shared/log.ts';
import { TOPICS } from '../../shared/topics.ts';
import { infra } from '../support/infra.ts';

// Asked at the top, where it may take its time: hooks have a timeout.
const servers = infra();
const log = createLog('test', 'error');
const kafka = connectKafka({ brokers: servers.kafkaBrokers.split(','), clientId: 'test-kafka', log });
await kafka.ensureTopics({ replication: 1, retentionMs: 3_600_000 });
const producer = await kafka.producer();
const streams: Stream[] = [];

afterAll(async () => {
  for (const stream of streams) await stream.close();
  await producer.close();
  await kafka.close();
});

test('a consumer that waits for much is woken by one record after a quiet time', async () => {
  const MAX_WAIT_MS = 2_000;
  const awaited = new Map<string, () => void>();
  const arrival = (value: string): Promise<void> => new Promise((resolve) => awaited.set(value, resolve));
  const stream = await kafka.stream({
    group: `test-${newId()}`,
    topics: [TOPICS.ledger],
    minBytes: 1_048_576,
    maxWaitMs: MAX_WAIT_MS,
    onBatch: async ({ records }) => {
      for (const { value } of records) awaited.get(String(value))?.();
    },
    onCrash: (error) => {
      throw error;
    },
  });
  streams.push(stream);
  // Of the form that the topic's readers know.
  const entry = (): string =>
    JSON.stringify({
      transaction_id: newId(),
      user_id: 'woken',
      kind: 'topup',
      amount: 1,
      reason: null,
      at: Date.now(),
    });
  const [first, second] = [entry(), entry()];
  const came = arrival(first);
  await producer.send({ topic: TOPICS.ledger, value: first });
  await came;
  // The quiet time: one whole wait that brings nothing, and the beginning of the next one.
  await delay(MAX_WAIT_MS + 300);
  const woken = arrival(second);
  const began = performance.now();
  await producer.send({ topic: TOPICS.ledger, value: second });
  await woken;
  expect(performance.now() - began).toBeLessThan(MAX_WAIT_MS / 2);
});
