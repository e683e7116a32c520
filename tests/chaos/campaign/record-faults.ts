/** What is done to what is stored: records that nobody can read, records that are read again, no room for more. */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import postgres from 'postgres';
import { LANES, PARTITIONS, TOPICS } from '../../../shared/topics.ts';
import { fillDisk } from '../../support/full-disk.ts';
import { POISON } from '../../support/poison.ts';
import { until } from '../../support/poll.ts';
import { connectTestKafka } from '../../support/stack-servers.ts';
import type { Fault } from './fault.ts';

const poison: Fault = {
  kind: 'poison records',
  targets: ['poison'],
  run: async ({ direct }, random) => {
    const producer = connectTestKafka(direct.kafkaBrokers).producer();
    await producer.connect();
    try {
      for (const topic of Object.values(TOPICS)) {
        const messages = Array.from({ length: 6 }, () => ({
          value: random.pick(POISON),
          partition: random.between(0, (PARTITIONS[topic] ?? 1) - 1),
        }));
        await producer.send({ topic, messages });
      }
    } finally {
      await producer.disconnect();
    }
  },
};

const REREAD_RECORDS = 2_000;

/** Sets a group that nobody is in back in a topic, never forward: what it has not read yet would be skipped. */
async function rewind(brokers: string, groupId: string, topic: string): Promise<void> {
  const admin = connectTestKafka(brokers).admin();
  await admin.connect();
  try {
    const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] });
    const stands = new Map(committed?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
    const partitions = (await admin.fetchTopicOffsets(topic)).map(({ partition, low }) => ({
      partition,
      offset: String(Math.max(Number(low), (stands.get(partition) ?? 0) - REREAD_RECORDS)),
    }));
    await until(
      `the group ${groupId} is empty`,
      async () => {
        await admin.setOffsets({ groupId, topic, partitions });
        return true;
      },
      { withinMs: 30_000, everyMs: 500 },
    );
  } finally {
    await admin.disconnect();
  }
}

const reread: readonly Fault[] = [
  {
    kind: 'dispatcher reads topics again',
    targets: ['dispatcher', 'replica dispatcher', 'kafka', 'link kafka'],
    run: async ({ services, direct }) => {
      await services.dispatcher.stop();
      for (const lane of LANES) await rewind(direct.kafkaBrokers, `jsms-dispatcher-${lane}`, `sms-${lane}`);
      await rewind(direct.kafkaBrokers, 'jsms-dispatcher-dlq', TOPICS.dlq);
      await services.dispatcher.ensure();
    },
  },
  {
    kind: 'report reads topics again',
    targets: ['report', 'replica report', 'kafka', 'link kafka', 'postgres', 'link postgres'],
    run: async ({ services, direct }) => {
      await services.report.stop();
      const sql = postgres(direct.databaseUrl, { max: 1, onnotice: () => undefined });
      try {
        await sql`UPDATE consumer_offsets SET next_offset = greatest(0, next_offset - ${REREAD_RECORDS})`;
      } finally {
        await sql.end({ timeout: 5 });
      }
      await services.report.ensure();
    },
  },
];

const redisFull: Fault = {
  kind: 'redis is full',
  targets: ['redis', 'link redis'],
  run: async ({ direct }, random) => {
    const redis = new Redis(direct.redisUrl, { maxRetriesPerRequest: 3 });
    try {
      const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
      await redis.config('SET', 'maxmemory', String(used + 50_000));
      await delay(random.between(2_000, 5_000));
    } finally {
      await redis.config('SET', 'maxmemory', '0').finally(() => redis.disconnect());
    }
  },
};

/** It ends over its first write that finds no room; it is started again once there is some. */
const kafkaFull: Fault = {
  kind: "kafka's disk is full",
  targets: ['kafka', 'link kafka'],
  run: async ({ servers: { kafka } }, random) => {
    fillDisk(kafka.pid);
    await until('Kafka has ended over it', () => !kafka.isAlive(), { withinMs: 30_000 });
    await delay(random.between(0, 4_000));
    await kafka.ensure();
  },
};

export const RECORD_FAULTS: readonly Fault[] = [poison, ...reread, redisFull, kafkaFull];
