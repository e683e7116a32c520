/**
 * Everything that knows kafkajs, with kafka-producer.ts and kafka-stream.ts. Kafka and kafkajs cost by the request, not by the
 * message: records are coalesced into few requests, and consumers wait for enough bytes where they may.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Admin, Kafka, type KafkaConfig, logLevel } from 'kafkajs';
import { ConfigError } from './config.ts';
import type { KafkaSecurity } from './credentials.ts';
import { within } from './deadline.ts';
import { createProducer, type Producer } from './kafka-producer.ts';
import { CONNECT_WITHIN_MS, openStream, type Stream, type StreamOptions } from './kafka-stream.ts';
import { waitFor } from './lifecycle.ts';
import type { Log } from './log.ts';
import { PARTITIONS, partitionsFault } from './topics.ts';

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
const LEADERS_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 50;

export type KafkaClient = {
  /**
   * Creates the topics that are missing, reads how many partitions each really has, and waits, 5 s at most, until all are served.
   * Throws when Kafka does not answer, and a ConfigError when a topic has partitions that operators' slots cannot be laid on.
   */
  ensureTopics(settings: { replication: number; retentionMs: number }): Promise<void>;
  /** The offset after each partition's last record. */
  endOffsets(topic: string): Promise<Map<number, number>>;
  producer(): Promise<Producer>;
  stream(options: StreamOptions): Promise<Stream>;
  partitionsOf(topic: string): number;
  close(): Promise<void>;
};

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
      const faults = topics.map(({ name, partitions: found }) => partitionsFault(name, found.length));
      const said = faults.filter((fault) => fault !== null);
      if (said.length > 0) throw new ConfigError(said);
      await untilLeadersServe(admin);
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
 * Topics that were made a moment ago, by whichever service, have leaders that do not serve them yet: what is produced then fails, and
 * waits for the relay. Bounded, for the others go on without a leader that is away.
 */
async function untilLeadersServe(admin: Admin): Promise<void> {
  let waits = true;
  const serves = (topic: string): Promise<boolean> =>
    admin.fetchTopicOffsets(topic).then(
      () => true,
      () => false,
    );
  const served = async (): Promise<void> => {
    while (waits && (await Promise.all(Object.keys(PARTITIONS).map(serves))).includes(false))
      await delay(LOOK_EVERY_MS);
  };
  // A broker that takes the question and is silent costs the bound as well, and no more.
  await within(LEADERS_WITHIN_MS, served(), 'a leader is away').catch(() => undefined);
  waits = false;
}

/** Waiting does not mend a wrong password. */
function refusedLogin(thrown: unknown): never {
  if ((thrown as Error).name === 'KafkaJSSASLAuthenticationError')
    throw new ConfigError(['KAFKA_USERNAME, KAFKA_PASSWORD: the brokers refuse this login']);
  throw thrown;
}
