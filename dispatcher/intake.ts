/**
 * From Kafka to the operators' queues: a consumer of its own per lane, so that no lane waits for another, and one for retries.
 * Handlers only take records and return; an operator whose queue is full pauses its slot's partitions.
 */

import { decodeMessage, decodeRetry } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
import type { KafkaClient } from '../shared/kafka.ts';
import type { RecordBatch, Stream } from '../shared/kafka-stream.ts';
import type { Log } from '../shared/log.ts';
import { LANES, type Lane, slotOf, TOPICS } from '../shared/topics.ts';
import { openRooms, type Rooms } from './retries.ts';
import type { Work } from './work.ts';

/** How a lane's consumer fetches: express at once, the others wait a moment for more, which costs Kafka and us far less. */
const FETCH: Readonly<Record<Lane, { minBytes: number; maxWaitMs: number }>> = {
  express: { minBytes: 1, maxWaitMs: 250 },
  normal: { minBytes: 65_536, maxWaitMs: 100 },
  bulk: { minBytes: 65_536, maxWaitMs: 500 },
};
const BYTES_PER_PARTITION_MAX = 262_144;
const TOPIC: Readonly<Record<Lane, string>> = { express: TOPICS.express, normal: TOPICS.normal, bulk: TOPICS.bulk };

export type IntakeDeps = {
  kafka: KafkaClient;
  /** Puts a message into its operator's queue; answers the name of the queue when that is full now. */
  route: (lane: Lane, work: Work) => string | null;
  /** False when this attempt is on its way through this process already: then its record is done when that one is. */
  enter: (work: Work) => boolean;
  /** The slot whose partitions feed the queue; null for one that has none of its own. */
  slotOfQueue: (queue: string) => number | null;
  /** True when a full queue went on growing, by partitions of others or shared with others, until it may not any more. */
  brims: (queue: string) => boolean;
  onPoison: (topic: string, partition: number, offset: number) => void;
  onCrash: (error: Error) => void;
  /** Told after batches were taken, so that the pumps start. */
  onTaken: () => void;
  log: Log;
};

export type Intake = {
  /** Joins the consumer groups; records come from now on, before it resolves. */
  start(): Promise<void>;
  /** A queue has room again: its paused partitions go on. */
  drained(queue: string): void;
  rooms: Rooms;
  halt(): void;
  close(): Promise<void>;
};

export function createIntake(deps: IntakeDeps): Intake {
  const { kafka, route, enter, slotOfQueue, brims, onPoison, onCrash, onTaken } = deps;
  const streams = new Map<string, Stream>();
  /** Each paused partition with the full queues that its records are for. */
  const paused = new Map<string, { topic: string; partition: number; queues: Set<string> }>();

  let telling = false;
  /** Told once all partitions of a fetch are in: each holds a part of the same minutes, and the oldest of all goes first. */
  const tellTaken = (): void => {
    if (telling) return;
    telling = true;
    setImmediate(() => {
      telling = false;
      onTaken();
    });
  };

  /** All partitions of its slot at once: one that went on alone would bring younger messages than those that wait in another. */
  const pauseFor = (queue: string, topic: string, partition: number): void => {
    const partitions = kafka.partitionsOf(topic);
    const slot = slotOf(partition, partitions);
    for (let one = 0; one < partitions; one += 1) {
      if (slotOf(one, partitions) !== slot) continue;
      const key = `${topic}/${one}`;
      let pause = paused.get(key);
      if (!pause) {
        pause = { topic, partition: one, queues: new Set() };
        paused.set(key, pause);
        streams.get(topic)?.pause(topic, one);
      }
      pause.queues.add(queue);
    }
  };
  /**
   * Operators of one slot share its partitions: as soon as one of two that were full has room both go on, and the other's queue grows
   * with it, within bounds.
   */
  const resumeFor = (queue: string): void => {
    for (const [key, { topic, partition, queues }] of paused) {
      if (!queues.delete(queue) || [...queues].some(brims)) continue;
      paused.delete(key);
      streams.get(topic)?.resume(topic, partition);
    }
  };

  /**
   * A full queue holds up its own partitions. One that a stray of another slot came to (a ported number, a prefix that moved) holds
   * up that one only once it brims: its operator's trouble would be the other's.
   */
  const holdsUp = (queue: string, slot: number): boolean => slotOfQueue(queue) === slot || brims(queue);

  const takeLane =
    (lane: Lane) =>
    ({ topic, partition, records, done }: RecordBatch): void => {
      const full = new Set<string>();
      for (const { offset, value } of records) {
        const event = decodeMessage(value);
        if (event === null) {
          onPoison(topic, partition, offset);
          done(offset);
          continue;
        }
        const work = { event, attempt: 1, claim: 0, done: () => done(offset) };
        const queue = enter(work) ? route(lane, work) : null;
        if (queue !== null) full.add(queue);
      }
      const slot = slotOf(partition, kafka.partitionsOf(topic));
      for (const queue of full) if (holdsUp(queue, slot)) pauseFor(queue, topic, partition);
      tellTaken();
    };

  const rooms = openRooms(
    (work) => {
      failpoint('dispatcher.retry_released');
      if (enter(work)) route(work.event.lane, work);
      tellTaken();
    },
    (partition) => streams.get(TOPICS.dlq)?.pause(TOPICS.dlq, partition),
    (partition) => streams.get(TOPICS.dlq)?.resume(TOPICS.dlq, partition),
  );
  const takeRetries = ({ topic, partition, records, done }: RecordBatch): void => {
    for (const { offset, value } of records) {
      const event = decodeRetry(value);
      if (event === null) {
        onPoison(topic, partition, offset);
        done(offset);
      } else rooms.add(partition, event, () => done(offset));
    }
  };

  const open = async (
    topic: string,
    name: string,
    fetch: { minBytes: number; maxWaitMs: number },
    onBatch: (batch: RecordBatch) => void,
  ) => {
    const group = `jsms-dispatcher-${name}`;
    streams.set(
      topic,
      await kafka.stream({
        group,
        topics: [topic],
        ...fetch,
        bytesPerPartitionMax: BYTES_PER_PARTITION_MAX,
        onBatch,
        beforeCommit: () => failpoint('dispatcher.before_commit'),
        onCrash,
      }),
    );
  };

  return {
    start: async () => {
      await Promise.all([
        ...LANES.map((lane) => open(TOPIC[lane], lane, FETCH[lane], takeLane(lane))),
        open(TOPICS.dlq, 'dlq', { minBytes: 1, maxWaitMs: 500 }, takeRetries),
      ]);
    },
    drained: resumeFor,
    rooms,
    halt: () => {
      for (const stream of streams.values()) stream.halt();
      rooms.close();
    },
    close: async () => {
      await Promise.all([...streams.values()].map((stream) => stream.close()));
    },
  };
}
