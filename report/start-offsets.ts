/** From where each partition is read on: PostgreSQL keeps that beside the rows, and Kafka says whether it can still be so. */
import type { KafkaClient } from '../shared/kafka.ts';
import type { Log } from '../shared/log.ts';
import type { Sql } from '../shared/postgres.ts';
import { answersWithin } from './faults.ts';
import { readOffsets } from './watermark.ts';

/** Of the question where PostgreSQL stands: one that a crash swallowed must not stop the reading for good. */
const STANDS_WITHIN_MS = 15_000;

/** Kafka did not say where its partitions end: no fault of PostgreSQL's. */
export class EndsUnknown extends Error {}

/** Where PostgreSQL stands in each assigned partition; a log that was begun anew since is read from its beginning. */
export async function startOffsets(
  sql: Sql,
  kafka: KafkaClient,
  assigned: ReadonlyMap<string, readonly number[]>,
  log: Log,
): Promise<{ topic: string; partition: number; offset: number }[]> {
  const known = await answersWithin(STANDS_WITHIN_MS, readOffsets(sql));
  const starts: { topic: string; partition: number; offset: number }[] = [];
  for (const [topic, partitions] of assigned) {
    const ends = await kafka.endOffsets(topic).catch((cause) => {
      throw new EndsUnknown('Kafka does not say where its partitions end', { cause });
    });
    for (const partition of partitions) {
      let offset = known.get(`${topic}/${partition}`) ?? 0;
      if (offset > (ends.get(partition) ?? 0)) {
        log.warn('log_begun_anew', { topic, partition, offset, end: ends.get(partition) ?? 0 });
        const begin = sql`UPDATE consumer_offsets SET next_offset = 0 WHERE topic = ${topic} AND partition = ${partition}`;
        await answersWithin(STANDS_WITHIN_MS, begin);
        offset = 0;
      }
      starts.push({ topic, partition, offset });
    }
  }
  return starts;
}
