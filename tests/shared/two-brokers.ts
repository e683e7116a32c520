/**
 * Two brokers as kafkajs' own code sees them, without sockets: who leads a partition is ours to say, and an answer comes when
 * we give it. Of kafkajs everything above its Cluster is real.
 */
import { createRequire } from 'node:module';
import type { Consumer, Producer } from 'kafkajs';

const require = createRequire(import.meta.url);
const load = <T>(path: string): T => require(`kafkajs/src/${path}`) as T;
const createSendMessages = load<(deps: object) => Producer['sendBatch']>('producer/sendMessages');
const createConsumer = load<(deps: object) => Consumer>('consumer');
const createRetry = load<(settings: object) => unknown>('retry');
const { createErrorFromCode } = load<{ createErrorFromCode(code: number): Error }>('protocol/error');
const { MemberAssignment } = load<{ MemberAssignment: { encode(assignment: object): Buffer } }>(
  'consumer/assignerProtocol',
);

const NOT_LEADER = 6;
const silent = () => undefined;
const logger = { debug: silent, info: silent, warn: silent, error: silent, namespace: () => logger };

type Asked = { topic: string; partitions: { partition: number; fetchOffset: string }[] }[];
type Answer = {
  topicName: string;
  partitions: { partition: number; highWatermark: string; messages: { offset: string; value: Buffer }[] }[];
}[];
type TopicData = { topic: string; partitions: { partition: number; messages: { value: string | Buffer }[] }[] }[];

/** A fetch that is out: answered by us. */
export type Fetch = { nodeId: string; asked: Asked; answer(responses: Answer): void; refuse(): void };

export type TwoBrokers = {
  /** What each partition has, as topic/partition. */
  written: Map<string, string[]>;
  /** The fetches that nobody has answered. */
  fetches: Fetch[];
  committed: Map<string, number>;
  joins: number;
  producer: Producer;
  consumer(groupId: string): Consumer;
  /** The brokers know it at once, a client when it asks again. */
  lead(key: string, nodeId: string): void;
};

/** @param leaders who leads each partition of one topic, by its number */
export function twoBrokers(topic: string, leaders: readonly string[]): TwoBrokers {
  const leading = new Map(leaders.map((nodeId, partition) => [`${topic}/${partition}`, nodeId]));
  let known = new Map(leading);
  const partitionsKnown = () =>
    [...known].map(([key, leader]) => ({ partitionId: Number(key.slice(key.lastIndexOf('/') + 1)), leader }));
  const world: Omit<TwoBrokers, 'producer' | 'consumer' | 'lead'> = {
    written: new Map(),
    fetches: [],
    committed: new Map(),
    joins: 0,
  };
  const { written, fetches, committed } = world;

  const brokerOf = (nodeId: string) => ({
    nodeId,
    produce: async ({ topicData }: { topicData: TopicData }) => {
      const keys = topicData.flatMap(({ partitions }) => partitions.map(({ partition }) => `${topic}/${partition}`));
      if (keys.some((key) => leading.get(key) !== nodeId)) throw createErrorFromCode(NOT_LEADER);
      for (const { partitions } of topicData)
        for (const { partition, messages } of partitions) {
          const key = `${topic}/${partition}`;
          written.set(key, [...(written.get(key) ?? []), ...messages.map(({ value }) => String(value))]);
        }
      return {
        topics: topicData.map(({ topic: topicName, partitions }) => ({
          topicName,
          partitions: partitions.map(({ partition }) => ({ partition, errorCode: 0 })),
        })),
      };
    },
    fetch: ({ topics }: { topics: Asked }) =>
      new Promise((resolve, reject) => {
        const over = (): void => void fetches.splice(fetches.indexOf(fetch), 1);
        const fetch: Fetch = {
          nodeId,
          asked: topics,
          answer: (responses) => {
            over();
            resolve({ responses });
          },
          refuse: () => {
            over();
            reject(createErrorFromCode(NOT_LEADER));
          },
        };
        fetches.push(fetch);
      }),
  });
  const brokers = new Map(['1', '2'].map((nodeId) => [nodeId, brokerOf(nodeId)]));

  const coordinator = {
    isConnected: () => true,
    joinGroup: async () => {
      world.joins += 1;
      return { generationId: world.joins, leaderId: 'other', memberId: 'me', members: [], groupProtocol: '' };
    },
    syncGroup: async () => ({
      memberAssignment: MemberAssignment.encode({
        version: 0,
        assignment: { [topic]: leaders.map((_, partition) => partition) },
        userData: Buffer.alloc(0),
      }),
    }),
    heartbeat: async () => undefined,
    leaveGroup: async () => undefined,
    offsetFetch: async ({ topics }: { topics: { partitions: { partition: number }[] }[] }) => ({
      responses: topics.map(({ partitions }) => ({
        topic,
        partitions: partitions.map(({ partition }) => ({
          partition,
          offset: String(committed.get(`${topic}/${partition}`) ?? 0),
        })),
      })),
    }),
    offsetCommit: async ({ topics }: { topics: { partitions: { partition: number; offset: unknown }[] }[] }) => {
      for (const { partitions } of topics)
        for (const { partition, offset } of partitions) committed.set(`${topic}/${partition}`, Number(offset));
    },
  };

  const refreshMetadata = async (): Promise<void> => {
    known = new Map(leading);
  };
  const positions = {};
  const cluster = {
    isConnected: () => true,
    connect: async () => undefined,
    disconnect: async () => {
      for (const fetch of [...fetches]) fetch.answer([]);
    },
    addMultipleTargetTopics: async () => undefined,
    refreshMetadata,
    refreshMetadataIfNecessary: async () => undefined,
    findTopicPartitionMetadata: partitionsKnown,
    findLeaderForPartitions: (_: string, partitions: (string | number)[]) => {
      const found: Record<string, number[]> = {};
      for (const partition of partitions.map(Number)) {
        const leader = known.get(`${topic}/${partition}`);
        if (leader !== undefined) found[leader] = [...(found[leader] ?? []), partition];
      }
      return found;
    },
    findBroker: async ({ nodeId }: { nodeId: string }) => brokers.get(String(nodeId)),
    getNodeIds: () => [...brokers.keys()],
    findGroupCoordinator: async () => coordinator,
    committedOffsets: () => positions,
  };
  const eosManager = {
    acquireBrokerLock: async () => undefined,
    releaseBrokerLock: async () => undefined,
    isTransactional: () => false,
    getSequence: () => 0,
    updateSequence: silent,
    getProducerId: () => -1,
    getProducerEpoch: () => 0,
  };
  const retry = { retries: 2, initialRetryTime: 1, maxRetryTime: 1 };
  const partitioner = ({ message }: { message: { partition: number } }): number => message.partition;
  const sendBatch = createSendMessages({ logger, cluster, partitioner, eosManager, retrier: createRetry(retry) });

  return Object.assign(world, {
    producer: { sendBatch, disconnect: async () => undefined } as unknown as Producer,
    consumer: (groupId: string) => createConsumer({ cluster, groupId, retry, logger, maxWaitTimeInMs: 1 }),
    lead: (key: string, nodeId: string) => void leading.set(key, nodeId),
  });
}
