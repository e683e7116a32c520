/** Producing: records are coalesced into few requests, and each batch goes to few partitions, chosen in turn. */
import type { Producer as KafkaProducer, RecordMetadata, TopicMessages } from 'kafkajs';
import { coalesce } from './coalesce.ts';
import { lanePartition, retryPartition, TOPICS } from './topics.ts';

/** Between two requests of a producer at least, unless express is in it: Kafka costs by the request. */
const PRODUCE_EVERY_MS = 50;
/** A batch's records in bytes: below the broker's limit of 1 MB for a record batch. */
const PRODUCE_BATCH_BYTES = 700_000;

/** Where a record goes: status and ledger records anywhere in their topic, a lane's to its operator's slot, a retry to its tier. */
export type OutRecord = {
  topic: string;
  value: string | Buffer;
  slot?: number;
  retry?: number;
  /** Which of those partitions, in turn; where it is not given all of a batch go to the same. */
  turn?: number | undefined;
};

export type Producer = {
  /** Resolves when Kafka has the record (acks all). A rejection means an unknown outcome: it may be there. */
  send(record: OutRecord): Promise<void>;
  readonly waiting: number;
  /** Resolves when nothing is on its way. */
  idle(): Promise<void>;
  close(): Promise<void>;
};

/** kafkajs asks no broker for a partition that it knows none for, and is content: written is what an answer names. */
function requireWritten(answers: RecordMetadata[], topicMessages: TopicMessages[]): void {
  const written = new Map<string, Set<number>>();
  for (const { topicName, partition } of answers)
    written.set(topicName, (written.get(topicName) ?? new Set()).add(partition));
  for (const { topic, messages } of topicMessages) {
    const missing = messages.find(({ partition = -1 }) => !written.get(topic)?.has(partition));
    if (missing) throw new Error(`Kafka did not say that it has what went to ${topic}/${missing.partition}`);
  }
}

/** @param producer connected */
export function createProducer(producer: KafkaProducer, partitionsOf: (topic: string) => number): Producer {
  let turn = 0;
  const partitionFor = ({ topic, slot, retry, turn: own }: OutRecord, batchTurn: number): number => {
    if (topic === TOPICS.dlq) return retryPartition(slot ?? 0, retry ?? 1);
    const inTurn = own ?? batchTurn;
    return slot === undefined ? inTurn % partitionsOf(topic) : lanePartition(slot, inTurn, partitionsOf(topic));
  };
  const produce = async (records: OutRecord[]): Promise<undefined[]> => {
    turn += 1;
    const topics = new Map<string, { topic: string; messages: { value: string | Buffer; partition: number }[] }>();
    for (const record of records) {
      let entry = topics.get(record.topic);
      if (!entry) {
        entry = { topic: record.topic, messages: [] };
        topics.set(record.topic, entry);
      }
      entry.messages.push({ value: record.value, partition: partitionFor(record, turn) });
    }
    const topicMessages = [...topics.values()];
    requireWritten(await producer.sendBatch({ acks: -1, timeout: 10_000, topicMessages }), topicMessages);
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
