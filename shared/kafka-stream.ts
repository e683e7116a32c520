/** Consuming: joining a group, whole batches to one handler, and what a crash of the consumer means. */
import type { Consumer, ConsumerRunConfig, EachBatchPayload } from 'kafkajs';
import { type Commits, createCommits } from './commits.ts';
import { createRejoining } from './kafka-rejoin.ts';
import { waitFor } from './lifecycle.ts';
import { errorFields, type Log } from './log.ts';
import { createPauses, type Pauses } from './pauses.ts';
import { doneOffset, openOffset } from './watermark.ts';

/** A start waits so long for a Kafka that answers some questions already and others not yet. */
export const CONNECT_WITHIN_MS = 60_000;
const REJOIN_EVERY_MS = 500;
const BEAT_EVERY_MS = 2_000;

export type InRecord = { offset: number; value: Buffer | null };
export type RecordBatch = {
  topic: string;
  partition: number;
  records: InRecord[];
  /** When the last of them was produced, epoch milliseconds by its producer's clock. */
  producedMs: number;
  /** The record at this offset needs no redelivery any more. */
  done(offset: number): void;
};

export type StreamOptions = {
  group: string;
  topics: readonly string[];
  /** How long the broker may hold an answer back to gather minBytes: cost against latency. */
  minBytes: number;
  maxWaitMs: number;
  bytesPerPartitionMax?: number;
  /**
   * Takes the records, and each is `done` now or later; what it may answer is awaited before the partition's next batch. A
   * handler that throws is asked again with the same records, so it must not throw for what a record holds.
   */
  onBatch(batch: RecordBatch): Promise<void> | void;
  /** Right before a commit that moves something. */
  beforeCommit?: () => void;
  /** Told after each rebalance which partitions are this process's now; answers offsets to start at where it knows better. */
  onAssigned?(
    assigned: ReadonlyMap<string, readonly number[]>,
  ): Promise<readonly { topic: string; partition: number; offset: number }[]>;
  /** The consumer is gone for good: the process must end. */
  onCrash(error: Error): void;
};

export type Stream = {
  pause(topic: string, partition: number): void;
  resume(topic: string, partition: number): void;
  /** Takes no more records; what is in flight goes on. */
  halt(): void;
  /** Commits what is done, then leaves the group. */
  close(): Promise<void>;
};

/** Asks where to start after each join; what was fetched meanwhile waits for it. */
type Starts = { asked(assigned: ReadonlyMap<string, readonly number[]>): void; known(): Promise<void> | null };

function createStarts(consumer: Consumer, { group, onAssigned }: StreamOptions, log: Log): Starts {
  let asking: Promise<void> | null = null;
  const wait = async (): Promise<void> => {
    // A further join may have asked anew.
    while (asking !== null) await asking;
  };
  return {
    asked: (assigned) => {
      if (!onAssigned) return;
      const current = onAssigned(assigned)
        .then((starts) => {
          for (const { topic, partition, offset } of starts)
            consumer.seek({ topic, partition, offset: String(offset) });
        })
        .catch((thrown) => log.warn('start_offsets_unknown', { group, ...errorFields(thrown) }))
        .finally(() => {
          if (asking === current) asking = null;
        });
      asking = current;
    },
    known: () => (asking === null ? null : wait()),
  };
}

/** Hands a batch to the stream's handler. */
function createEachBatch({ onBatch }: StreamOptions, commits: Commits, pauses: Pauses, starts: Starts) {
  const beating = async (heartbeat: () => Promise<void>, work: Promise<void>): Promise<void> => {
    const beat = setInterval(() => void heartbeat().catch(() => undefined), BEAT_EVERY_MS);
    await work.finally(() => clearInterval(beat));
  };
  return async ({ batch, resolveOffset, heartbeat, isRunning, isStale }: EachBatchPayload): Promise<void> => {
    const { topic, partition } = batch;
    const last = batch.messages.at(-1);
    // A record from before the seek must not be taken for the next one.
    const known = starts.known();
    if (known) await beating(heartbeat, known);
    if (pauses.halted || !last || !isRunning() || isStale()) return;
    const mark = commits.markOf(topic, partition);
    const records = batch.messages.map(({ offset, value }) => ({ offset: Number(offset), value }));
    for (const { offset } of records) openOffset(mark, offset);
    const done = (offset: number): void => doneOffset(mark, offset);
    const handled = onBatch({ topic, partition, records, producedMs: Number(last.timestamp), done });
    if (handled) await beating(heartbeat, handled);
    // Joined anew meanwhile: the position is the new one's own.
    if (commits.markOf(topic, partition) === mark) resolveOffset(last.offset);
    await heartbeat();
  };
}

/** Joins the group and reads; resolves when it runs. */
export async function openStream(
  consumer: Consumer,
  options: StreamOptions,
  partitionsOf: (topic: string) => number,
  log: Log,
): Promise<Stream> {
  const { group, topics, beforeCommit, onCrash } = options;
  const commitOffsets: Consumer['commitOffsets'] = (offsets) => consumer.commitOffsets(offsets);
  const commits = createCommits({ group, commitOffsets, beforeCommit, log });
  const pauses = createPauses(consumer, group, topics, log);
  const starts = createStarts(consumer, options, log);
  let closing = false;
  const rejoining = createRejoining();

  consumer.on(consumer.events.CRASH, ({ payload: { error, restart } }) => {
    if (restart || closing) return;
    const { again, awayMs } = rejoining.crashed(error);
    if (!again) return onCrash(error);
    if (awayMs === null) log.warn('kafka_consumer_crashed', { group, ...errorFields(error) });
    else log.warn('kafka_coordinator_away', { group, away_s: Math.round(awayMs / 1_000) });
    setTimeout(() => {
      if (!closing) run().catch(onCrash);
    }, REJOIN_EVERY_MS);
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    rejoining.joined();
    pauses.rejoined();
    commits.rejoined();
    const assigned = new Map(Object.entries(payload.memberAssignment as Record<string, number[]>));
    log.info('partitions_assigned', {
      group,
      partitions: Object.fromEntries([...assigned].map(([topic, list]) => [topic, list.length])),
    });
    starts.asked(assigned);
  });

  const config: ConsumerRunConfig = {
    autoCommit: false,
    eachBatchAutoResolve: false,
    partitionsConsumedConcurrently: topics.reduce((sum, topic) => sum + partitionsOf(topic), 0),
    eachBatch: createEachBatch(options, commits, pauses, starts),
  };
  const run = (): Promise<void> => consumer.run(config);
  const connect = async (): Promise<void> => {
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics], fromBeginning: true });
  };
  await waitFor(connect, CONNECT_WITHIN_MS, `Kafka does not let a consumer of ${group} in`);
  await run();
  commits.start();

  return {
    pause: pauses.pause,
    resume: pauses.resume,
    halt: pauses.halt,
    close: async () => {
      closing = true;
      await commits.stop();
      await consumer.disconnect();
    },
  };
}
