/**
 * Waits until PostgreSQL has everything that Kafka had when it was called. A message that ended without money moving leaves the
 * audit balanced, so of such ones the audit does not say whether the report knows of them yet.
 */
import postgres from 'postgres';
import { READ_TOPICS } from '../../report/consumer.ts';
import { type Offsets, readOffsets } from '../../report/watermark.ts';
import { until } from './poll.ts';
import { connectTestKafka } from './stack-servers.ts';

/** Where the logs end, by `topic/partition`. */
async function endsOf(kafkaBrokers: string): Promise<Offsets> {
  const admin = connectTestKafka(kafkaBrokers).admin();
  await admin.connect();
  try {
    const topics = await Promise.all(
      READ_TOPICS.map(async (topic) => ({ topic, partitions: await admin.fetchTopicOffsets(topic) })),
    );
    return new Map(
      topics.flatMap(({ topic, partitions }) =>
        partitions.map(({ partition, high }) => [`${topic}/${partition}`, Number(high)] as const),
      ),
    );
  } finally {
    await admin.disconnect();
  }
}

export async function reportHasRead(kafkaBrokers: string, databaseUrl: string, withinMs: number): Promise<void> {
  const ends = await endsOf(kafkaBrokers);
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => undefined });
  try {
    await until(
      'the report has read all that is published',
      async () => {
        const offsets = await readOffsets(sql);
        const behind = [...ends].filter(([partition, end]) => (offsets.get(partition) ?? 0) < end);
        if (behind.length > 0) throw new Error(`behind at ${behind.map(([partition]) => partition).join(', ')}`);
        return true;
      },
      { withinMs },
    );
  } finally {
    await sql.end({ timeout: 5 });
  }
}
