import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { Kafka, logLevel } from 'kafkajs';
import { ownIdentity } from '../../local/pid-file.ts';
import { endWithProcess, temporaryDir } from '../../local/servers/all.ts';
import { startKafka } from '../../local/servers/kafka.ts';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { ConfigError } from '../../shared/config.ts';
import { connectKafka, type KafkaClient } from '../../shared/kafka.ts';
import { waitFor } from '../../shared/lifecycle.ts';
import {
  lanePartition,
  PARTITIONS,
  partitionsFault,
  RETRY_TIERS,
  retryPartition,
  SLOTS,
  slotOf,
  TOPICS,
} from '../../shared/topics.ts';
import { quiet } from '../billing/own-redis.ts';
import { until } from '../support/poll.ts';

setDefaultTimeout(240_000);

test.each([
  [TOPICS.express, 0, false],
  [TOPICS.express, 1, false],
  [TOPICS.normal, 6, false],
  [TOPICS.bulk, 13, false],
  [TOPICS.express, 4, true],
  [TOPICS.normal, 12, true],
  [TOPICS.bulk, 48, true],
  [TOPICS.dlq, 1, false],
  [TOPICS.dlq, 11, false],
  [TOPICS.dlq, 12, true],
  [TOPICS.dlq, 13, true],
  [TOPICS.status, 0, false],
  [TOPICS.status, 1, true],
  [TOPICS.ledger, 0, false],
  [TOPICS.ledger, 5, true],
])('%s with %i partitions can be used: %p', (topic, partitions, fits) => {
  expect(partitionsFault(topic, partitions) === null).toBe(fits);
});

test('the mend that a sentence names is one', () => {
  for (const topic of Object.keys(PARTITIONS)) {
    for (let partitions = 0; partitions < 40; partitions += 1) {
      const said = partitionsFault(topic, partitions);
      if (said === null) continue;
      const mend = Number(/--partitions (\d+)/.exec(said)?.[1]);
      expect(mend).toBeGreaterThan(partitions);
      expect(partitionsFault(topic, mend)).toBeNull();
    }
  }
});

test('a slot has partitions that the topic has and no other slot', () => {
  for (let partitions = SLOTS; partitions <= 5 * SLOTS; partitions += SLOTS) {
    for (let slot = 0; slot < SLOTS; slot += 1) {
      for (let turn = 0; turn < 20; turn += 1) {
        const partition = lanePartition(slot, turn, partitions);
        expect(partition).toBeLessThan(partitions);
        expect(slotOf(partition, partitions)).toBe(slot);
      }
    }
  }
  for (let slot = 0; slot < SLOTS; slot += 1)
    for (let retry = 1; retry <= RETRY_TIERS; retry += 1)
      expect(retryPartition(slot, retry)).toBeLessThan(PARTITIONS[TOPICS.dlq] as number);
});

/** A Kafka without any topic. */
async function freshKafka(): Promise<LocalServer> {
  const dir = temporaryDir();
  endWithProcess(dir);
  const server = await startKafka({ dir, heapMb: 320, owner: ownIdentity() });
  afterAll(async () => {
    await server.kill();
    rmSync(dir, { recursive: true, force: true });
  }, 60_000);
  return server;
}
const clientOf = (server: LocalServer): KafkaClient =>
  connectKafka({ brokers: [server.address], clientId: 'jsms-test', log: quiet });
/** As the services do: what Kafka does not answer yet is asked again, a ConfigError is final. */
const ensureOn = (kafka: KafkaClient): Promise<void> =>
  waitFor(() => kafka.ensureTopics({ replication: 1, retentionMs: 86_400_000 }), 60_000, 'Kafka does not answer');

test('services that start at once on a Kafka without topics: what each produces from then on is taken', async () => {
  const server = await freshKafka();
  await Promise.all(
    [1, 2, 3, 4].map(async () => {
      const kafka = clientOf(server);
      await ensureOn(kafka);
      const producer = await kafka.producer();
      await Promise.all(Array.from({ length: 12 }, () => producer.send({ topic: TOPICS.status, value: 'there' })));
      await producer.close();
      await kafka.close();
    }),
  );
});

test('a topic that somebody made with too few partitions ends the start, in a sentence with the mend', async () => {
  const server = await freshKafka();
  const admin = new Kafka({ brokers: [server.address], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createTopics({ waitForLeaders: false, topics: [{ topic: TOPICS.normal, numPartitions: 1 }] });
  const kafka = clientOf(server);
  const refused = await ensureOn(kafka).catch((thrown: Error) => thrown);
  expect(refused).toBeInstanceOf(ConfigError);
  expect((refused as ConfigError).problems).toEqual([
    'The Kafka topic sms-normal has 1 partitions and needs a multiple of 4; give it more: `kafka-topics.sh --alter --topic sms-normal --partitions 12`',
  ]);
  await admin.createPartitions({ topicPartitions: [{ topic: TOPICS.normal, count: 12 }] });
  await until('the topic is fit', () => ensureOn(kafka).then(() => true));
  expect(kafka.partitionsOf(TOPICS.normal)).toBe(12);
  const producer = await kafka.producer();
  await producer.send({ topic: TOPICS.normal, value: 'there', slot: 3, turn: 2 });
  await producer.close();
  await kafka.close();
  await admin.disconnect();
});
