/** Consuming: whole batches to one handler, and commits once a second of what is done. */
import type { Consumer, ConsumerRunConfig } from 'kafkajs';
import { failpoint } from './failpoint.ts';
import { waitFor } from './lifecycle.ts';
import { errorFields, type Log } from './log.ts';
import { createWatermark, doneOffset, openOffset, type Watermark } from './watermark.ts';

const COMMIT_EVERY_MS = 1_000;
/** A start waits so long for a Kafka that answers some questions already and others not yet. */
export const CONNECT_WITHIN_MS = 60_000;
/** A consumer that finds no coordinator of its group tries again for so long; then its process ends, and is started anew. */
const REJOIN_WITHIN_MS = 300_000;
const REJOIN_EVERY_MS = 500;

export type InRecord = { offset: number; value: Buffer | null };
export type RecordBatch = {
  topic: string;
  partition: number;
  records: InRecord[];
  /** Tracked streams only: the record at this offset needs no redelivery any more. */
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
   * Awaited: the batch is durable when it resolves. Tracked: it takes the records, and each is `done` now or later; what it
   * may answer is awaited before the partition's next batch. A handler that throws is asked again with the same records, so
   * it must not throw for what a record holds.
   */
  onBatch(batch: RecordBatch): Promise<void> | void;
  tracked?: boolean;
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

/**
 * Whether a consumer gave up only because no broker named the coordinator of its group. kafkajs takes that for final, yet it is
 * what a Kafka that has just been started, or is away, answers.
 */
export function isCoordinatorAway(error: unknown): boolean {
  const { name, cause } = error as { name?: string; cause?: unknown };
  return (
    name === 'KafkaJSGroupCoordinatorNotFound' || (cause !== undefined && cause !== null && isCoordinatorAway(cause))
  );
}

/** Joins the group and reads; resolves when it runs. */
export async function openStream(
  consumer: Consumer,
  options: StreamOptions,
  partitionsOf: (topic: string) => number,
  log: Log,
): Promise<Stream> {
  const { group, topics, onBatch, onAssigned, onCrash, tracked = false } = options;
  let marks = new Map<string, Watermark>();
  let halted = false;
  let committing: Promise<void> = Promise.resolve();
  let starting: Promise<void> | null = null;
  let closing = false;
  /** Since when there is no coordinator; null while this is a member of its group. */
  let awaySince: number | null = null;
  const wholeTopics = topics.map((topic) => ({ topic }));
  const paused = new Map<string, { topic: string; partitions: number[] }>();
  /** A consumer that waits for its own restart takes neither, and has forgotten its pauses after it: they are said again then. */
  const tell = (what: 'pause' | 'resume', which: { topic: string; partitions?: number[] }[]): void => {
    try {
      consumer[what](which);
    } catch (thrown) {
      log.debug('kafka_not_running', { group, what, ...errorFields(thrown) });
    }
  };
  const markOf = (topic: string, partition: number): Watermark => {
    const key = `${topic}/${partition}`;
    let mark = marks.get(key);
    if (!mark) {
      mark = createWatermark();
      marks.set(key, mark);
    }
    return mark;
  };

  const commit = async (): Promise<void> => {
    const offsets: { topic: string; partition: number; offset: string }[] = [];
    const moved: Watermark[] = [];
    for (const [key, mark] of marks) {
      if (mark.next <= mark.committed) continue;
      const cut = key.lastIndexOf('/');
      offsets.push({ topic: key.slice(0, cut), partition: Number(key.slice(cut + 1)), offset: String(mark.next) });
      moved.push(mark);
    }
    if (offsets.length === 0) return;
    const nexts = moved.map((mark) => mark.next);
    if (tracked) failpoint('dispatcher.before_commit');
    // Outside any handler, where a rebalance in the middle costs a redelivery and nothing else.
    await consumer.commitOffsets(offsets);
    moved.forEach((mark, i) => {
      mark.committed = nexts[i] as number;
    });
  };
  const tryCommit = (): Promise<void> => {
    committing = committing
      .then(commit)
      .catch((thrown) => log.debug('commit_failed', { group, ...errorFields(thrown) }));
    return committing;
  };

  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (payload.restart || closing) return;
    awaySince ??= performance.now();
    if (!isCoordinatorAway(payload.error) || performance.now() - awaySince > REJOIN_WITHIN_MS)
      return onCrash(payload.error);
    log.warn('kafka_coordinator_away', { group, away_s: Math.round((performance.now() - awaySince) / 1_000) });
    setTimeout(() => {
      if (!closing) run().catch(onCrash);
    }, REJOIN_EVERY_MS);
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    awaySince = null;
    tell('pause', halted ? wholeTopics : [...paused.values()]);
    // Positions go back to what was committed: whatever is in flight from before may come again and is tracked anew.
    marks = new Map();
    const assigned = new Map(Object.entries(payload.memberAssignment as Record<string, number[]>));
    log.info('partitions_assigned', {
      group,
      partitions: Object.fromEntries([...assigned].map(([topic, list]) => [topic, list.length])),
    });
    if (onAssigned) {
      // What was fetched meanwhile waits for this: a record from before the seek must not be taken for the next one.
      const current = onAssigned(assigned)
        .then((starts) => {
          for (const { topic, partition, offset } of starts)
            consumer.seek({ topic, partition, offset: String(offset) });
        })
        .catch((thrown) => log.warn('start_offsets_unknown', { group, ...errorFields(thrown) }))
        .finally(() => {
          if (starting === current) starting = null;
        });
      starting = current;
    }
  });

  const config: ConsumerRunConfig = {
    autoCommit: false,
    eachBatchAutoResolve: false,
    partitionsConsumedConcurrently: topics.reduce((sum, topic) => sum + partitionsOf(topic), 0),
    eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
      const last = batch.messages.at(-1);
      if (starting !== null) {
        const beat = setInterval(() => void heartbeat().catch(() => undefined), 2_000);
        await starting.finally(() => clearInterval(beat));
      }
      if (halted || !last || !isRunning() || isStale()) return;
      const mark = markOf(batch.topic, batch.partition);
      const records = batch.messages.map(({ offset, value }) => ({ offset: Number(offset), value }));
      if (tracked) for (const { offset } of records) openOffset(mark, offset);
      const handled = onBatch({
        topic: batch.topic,
        partition: batch.partition,
        records,
        done: (offset) => doneOffset(mark, offset),
      });
      if (handled) {
        const beat = setInterval(() => void heartbeat().catch(() => undefined), 2_000);
        try {
          await handled;
        } finally {
          clearInterval(beat);
        }
      }
      resolveOffset(last.offset);
      if (!tracked) mark.next = Number(last.offset) + 1;
      await heartbeat();
    },
  };
  const run = (): Promise<void> => consumer.run(config);
  const connect = async (): Promise<void> => {
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics], fromBeginning: true });
  };
  await waitFor(connect, CONNECT_WITHIN_MS, `Kafka does not let a consumer of ${group} in`);
  await run();
  const timer = setInterval(() => void tryCommit(), COMMIT_EVERY_MS);

  return {
    pause: (topic, partition) => {
      const which = { topic, partitions: [partition] };
      paused.set(`${topic}/${partition}`, which);
      tell('pause', [which]);
    },
    resume: (topic, partition) => {
      paused.delete(`${topic}/${partition}`);
      if (!halted) tell('resume', [{ topic, partitions: [partition] }]);
    },
    halt: () => {
      halted = true;
      tell('pause', wholeTopics);
    },
    close: async () => {
      closing = true;
      clearInterval(timer);
      await tryCommit();
      await consumer.disconnect();
    },
  };
}
