/**
 * Everything that knows kafkajs. Kafka and kafkajs cost by the request, not by the message: records are coalesced into few
 * requests, each batch goes to few partitions (chosen in turn), and consumers wait for enough bytes where they may.
 */
import {
  type Consumer,
  type ConsumerRunConfig,
  Kafka,
  type KafkaConfig,
  type Producer as KafkaProducer,
  logLevel,
} from 'kafkajs';
import { coalesce } from './coalesce.ts';
import { ConfigError } from './config.ts';
import type { KafkaSecurity } from './credentials.ts';
import { failpoint } from './failpoint.ts';
import { waitFor } from './lifecycle.ts';
import { errorFields, type Log } from './log.ts';
import { lanePartition, PARTITIONS, retryPartition, TOPICS } from './topics.ts';

const COMMIT_EVERY_MS = 1_000;
/** A start waits so long for a Kafka that answers some questions already and others not yet. */
const CONNECT_WITHIN_MS = 60_000;
/** A consumer that finds no coordinator of its group tries again for so long; then its process ends, and is started anew. */
const REJOIN_WITHIN_MS = 300_000;
const REJOIN_EVERY_MS = 500;
/** Between two requests of a producer at least, unless express is in it: Kafka costs by the request. */
const PRODUCE_EVERY_MS = 25;
/** A batch's records in bytes: below the broker's limit of 1 MB for a record batch. */
const PRODUCE_BATCH_BYTES = 700_000;

export type KafkaOptions = {
  brokers: readonly string[];
  clientId: string;
  log: Log;
  /** After this long without a sign of life a member of a group is believed dead, and its partitions go to others. */
  sessionMs?: number;
  /** TLS and our login at the brokers. */
  security?: KafkaSecurity;
};
const SESSION_MS = 15_000;

/** Where a record goes: status and ledger records anywhere in their topic, a lane's to its operator's slot, a retry to its tier. */
export type OutRecord = { topic: string; value: string; slot?: number; retry?: number };

export type Producer = {
  /** Resolves when Kafka has the record (acks all). A rejection means an unknown outcome: it may be there. */
  send(record: OutRecord): Promise<void>;
  readonly waiting: number;
  /** Resolves when nothing is on its way. */
  idle(): Promise<void>;
  close(): Promise<void>;
};

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

export type KafkaClient = {
  /** Creates the topics that are missing and reads how many partitions each really has. Throws when Kafka does not answer. */
  ensureTopics(settings: { replication: number; retentionMs: number }): Promise<void>;
  /** The offset after each partition's last record. */
  endOffsets(topic: string): Promise<Map<number, number>>;
  producer(): Promise<Producer>;
  stream(options: StreamOptions): Promise<Stream>;
  partitionsOf(topic: string): number;
  close(): Promise<void>;
};

/** A partition's records in flight: what may be committed is everything before the first that is not done. */
type Watermark = { open: number[]; head: number; done: Set<number>; next: number; committed: number };

export function createWatermark(): Watermark {
  return { open: [], head: 0, done: new Set(), next: -1, committed: -1 };
}

export function openOffset(mark: Watermark, offset: number): void {
  mark.open.push(offset);
  // Where a partition begins is where its group stands already: nothing to commit until a record is done.
  if (mark.next < 0) mark.next = mark.committed = offset;
}

/** Marks an offset as done; moves the watermark past every done record at its front. */
export function doneOffset(mark: Watermark, offset: number): void {
  mark.done.add(offset);
  while (mark.head < mark.open.length && mark.done.has(mark.open[mark.head] as number)) {
    const passed = mark.open[mark.head] as number;
    mark.done.delete(passed);
    mark.next = passed + 1;
    mark.head += 1;
  }
  if (mark.head > 1024 && mark.head * 2 > mark.open.length) {
    mark.open.splice(0, mark.head);
    mark.head = 0;
  }
}

const LEVELS: Record<number, 'error' | 'warn' | 'info' | 'debug'> = {
  [logLevel.ERROR]: 'warn',
  [logLevel.WARN]: 'debug',
  [logLevel.INFO]: 'debug',
  [logLevel.DEBUG]: 'debug',
};

export function connectKafka({
  brokers,
  clientId,
  log,
  sessionMs = SESSION_MS,
  security = {},
}: KafkaOptions): KafkaClient {
  const kafka = new Kafka({
    clientId,
    brokers: [...brokers],
    ...(security as Pick<KafkaConfig, 'ssl' | 'sasl'>),
    connectionTimeout: 1_000,
    requestTimeout: 10_000,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5 },
    logCreator:
      () =>
      ({ level, log: entry }) => {
        const { message, error, broker, groupId } = entry as {
          message: string;
          error?: string;
          broker?: string;
          groupId?: string;
        };
        log[LEVELS[level] ?? 'debug']('kafka', { message, error, broker, group: groupId });
      },
  });
  const admin = kafka.admin({ retry: { retries: 2 } });
  const partitions = new Map<string, number>(Object.entries(PARTITIONS));
  const partitionsOf = (topic: string): number => partitions.get(topic) ?? 1;

  return {
    partitionsOf,
    ensureTopics: async ({ replication, retentionMs }) => {
      await admin.connect().catch(refusedLogin);
      const known = new Set(await admin.listTopics());
      const missing = Object.keys(PARTITIONS).filter((topic) => !known.has(topic));
      if (missing.length > 0) {
        // Several services start at once: whoever comes second finds the topics there, which createTopics answers with false.
        await admin.createTopics({
          waitForLeaders: true,
          topics: missing.map((topic) => ({
            topic,
            numPartitions: partitionsOf(topic),
            replicationFactor: replication,
            configEntries: [{ name: 'retention.ms', value: String(retentionMs) }],
          })),
        });
      }
      const { topics } = await admin.fetchTopicMetadata({ topics: Object.keys(PARTITIONS) });
      for (const { name, partitions: found } of topics) partitions.set(name, found.length);
    },
    endOffsets: async (topic) => {
      const offsets = await admin.fetchTopicOffsets(topic);
      return new Map(offsets.map(({ partition, high }) => [partition, Number(high)]));
    },
    producer: async () => {
      const producer = kafka.producer({
        allowAutoTopicCreation: false,
        retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 500 },
      });
      await waitFor(() => producer.connect(), CONNECT_WITHIN_MS, `Kafka does not let a producer in at ${brokers}`);
      return createProducer(producer, partitionsOf);
    },
    stream: (options) =>
      openStream(
        kafka.consumer({
          groupId: options.group,
          minBytes: options.minBytes,
          maxWaitTimeInMs: options.maxWaitMs,
          maxBytesPerPartition: options.bytesPerPartitionMax ?? 1_048_576,
          sessionTimeout: sessionMs,
          heartbeatInterval: Math.floor(sessionMs / 5),
          retry: { initialRetryTime: 200, maxRetryTime: 2_000, retries: 10, restartOnFailure: async () => true },
        }),
        options,
        partitionsOf,
        log,
      ),
    close: () => admin.disconnect(),
  };
}

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

/** Waiting does not mend a wrong password. */
function refusedLogin(thrown: unknown): never {
  if ((thrown as Error).name === 'KafkaJSSASLAuthenticationError')
    throw new ConfigError(['KAFKA_USERNAME, KAFKA_PASSWORD: the brokers refuse this login']);
  throw thrown;
}

function createProducer(producer: KafkaProducer, partitionsOf: (topic: string) => number): Producer {
  let turn = 0;
  const partitionFor = ({ topic, slot, retry }: OutRecord, inTurn: number): number => {
    if (topic === TOPICS.dlq) return retryPartition(slot ?? 0, retry ?? 1);
    return slot === undefined ? inTurn % partitionsOf(topic) : lanePartition(slot, inTurn, partitionsOf(topic));
  };
  const produce = async (records: OutRecord[]): Promise<undefined[]> => {
    turn += 1;
    const topics = new Map<string, { topic: string; messages: { value: string; partition: number }[] }>();
    for (const record of records) {
      let entry = topics.get(record.topic);
      if (!entry) {
        entry = { topic: record.topic, messages: [] };
        topics.set(record.topic, entry);
      }
      entry.messages.push({ value: record.value, partition: partitionFor(record, turn) });
    }
    await producer.sendBatch({ acks: -1, timeout: 10_000, topicMessages: [...topics.values()] });
    return new Array<undefined>(records.length);
  };
  const send = coalesce<OutRecord, undefined>(produce, {
    batchMax: PRODUCE_BATCH_BYTES,
    weigh: ({ value }) => value.length * 3 + 100,
    overlapMs: 50,
    inflightMax: 4,
    paceMs: PRODUCE_EVERY_MS,
    urgent: ({ topic }) => topic === TOPICS.express,
  });
  return {
    send: async (record) => void (await send(record)),
    get waiting() {
      return send.waiting;
    },
    idle: () => send.idle(),
    close: async () => {
      await send.idle();
      await producer.disconnect();
    },
  };
}

async function openStream(
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
