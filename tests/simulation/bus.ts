/**
 * The Kafka of the simulation behind the interface of shared/kafka.ts: topics whose records are dropped before the ack, taken
 * twice, taken late and in another order, and consumer groups that hand out again what nobody committed.
 */

import type { KafkaClient } from '../../shared/kafka.ts';
import type { OutRecord, Producer } from '../../shared/kafka-producer.ts';
import type { Stream, StreamOptions } from '../../shared/kafka-stream.ts';
import { retryPartition, SLOTS, TOPICS } from '../../shared/topics.ts';
import { createWatermark, doneOffset, openOffset } from '../../shared/watermark.ts';
import { after, type Process, WORLD, worldNow } from './clock.ts';
import { survives, type Weather } from './faults.ts';

/** A lane's partitions: two of each operator's slot, so that records of one operator overtake each other. */
const PER_SLOT = 2;
const ANYWHERE = 2;
const SESSION_MS = 6_000;
const COMMIT_EVERY_MS = 1_000;
/** When a produce that nobody answered is given up. */
const ACK_WITHIN_MS = 10_000;

type Watermark = ReturnType<typeof createWatermark>;
type Member = {
  process: Process;
  options: StreamOptions;
  marks: Map<string, Watermark>;
  positions: Map<string, number>;
  paused: Set<string>;
  busy: Set<string>;
  /** Its place in the group's life: what it does under an older one is refused. */
  generation: number;
  /** Its start offsets are being asked for. */
  starting: boolean;
  halted: boolean;
  committing: boolean;
};
type Group = {
  name: string;
  topics: readonly string[];
  members: Member[];
  committed: Map<string, number>;
  generation: number;
};

export type Bus = {
  producerOf(process: Process): Producer;
  clientOf(process: Process): KafkaClient;
  /** Puts a record into a topic as somebody else would. */
  append(topic: string, value: string | null): void;
  /** A killed or frozen process: its groups find out when its session ends. */
  lost(process: Process): void;
  rebalance(): void;
  /** All groups read their topics from the beginning, as after a reset of their offsets. */
  rewind(): void;
  /** Partitions that some group has not worked to their end, and by how much. */
  behind(): string[];
};

const keyOf = (topic: string, partition: number): string => `${topic}/${partition}`;

/** @param onTaken told of each record that Kafka has */
export function createBus(weather: Weather, onTaken: (topic: string, value: string | null) => void): Bus {
  const { random } = weather;
  const logs = new Map<string, (string | null)[]>();
  const groups = new Map<string, Group>();

  const partitionOf = ({ topic, slot = 0, retry = 1 }: OutRecord): number => {
    if (topic === TOPICS.dlq) return retryPartition(slot, retry);
    if (topic === TOPICS.status || topic === TOPICS.ledger) return random.between(0, ANYWHERE - 1);
    return (slot % SLOTS) * PER_SLOT + random.between(0, PER_SLOT - 1);
  };
  const appendAt = (topic: string, partition: number, value: string | null): void => {
    const key = keyOf(topic, partition);
    const log = logs.get(key);
    if (log) log.push(value);
    else logs.set(key, [value]);
    onTaken(topic, value);
    for (const group of groups.values()) if (group.topics.includes(topic)) poke(group, key);
  };

  const topicOf = (key: string): string => key.slice(0, key.lastIndexOf('/'));
  const ownerOf = ({ members }: Group, key: string): Member | undefined =>
    members[Number(key.slice(key.lastIndexOf('/') + 1)) % members.length];
  const positionOf = (group: Group, member: Member, key: string): number =>
    member.positions.get(key) ?? group.committed.get(key) ?? 0;

  const poke = (group: Group, key: string): void => {
    const member = ownerOf(group, key);
    if (!member || member.starting || member.halted || member.busy.has(key) || member.paused.has(key)) return;
    if (positionOf(group, member, key) >= (logs.get(key)?.length ?? 0)) return;
    member.busy.add(key);
    const { generation } = member;
    const away = Math.max(0, weather.kafkaAwayUntil - worldNow());
    const delay =
      away + (random.chance(weather.faults.deliverySlow) ? random.between(500, 8_000) : random.between(1, 40));
    after(delay, member.process, () => deliver(group, member, generation, key));
  };

  const commitSoon = (group: Group, member: Member): void => {
    if (member.committing) return;
    member.committing = true;
    after(COMMIT_EVERY_MS, member.process, () => {
      member.committing = false;
      commit(group, member);
    });
  };
  const commit = (group: Group, member: Member): void => {
    const refused = member.generation !== group.generation || weather.kafkaAwayUntil > worldNow();
    for (const [key, mark] of member.marks) {
      if (mark.next <= mark.committed) continue;
      if (refused || random.chance(weather.faults.commitLost)) {
        if (member.generation === group.generation) commitSoon(group, member);
        continue;
      }
      group.committed.set(key, mark.next);
      mark.committed = mark.next;
    }
  };

  const deliver = (group: Group, member: Member, generation: number, key: string): void => {
    // Stale: its partitions are others' since.
    if (generation !== group.generation || !group.members.includes(member)) return;
    member.busy.delete(key);
    if (member.halted || member.paused.has(key)) return;
    const log = logs.get(key) ?? [];
    const from = positionOf(group, member, key);
    const records = log
      .slice(from, from + random.between(1, 4))
      .map((value, i) => ({ offset: from + i, value: value as never }));
    const next = from + records.length;
    const { onBatch } = member.options;
    const mark = member.marks.get(key) ?? createWatermark();
    member.marks.set(key, mark);
    for (const { offset } of records) openOffset(mark, offset);
    const cut = key.lastIndexOf('/');
    const done = (offset: number): void => {
      doneOffset(mark, offset);
      if (member.marks.get(key) === mark) commitSoon(group, member);
    };
    const [topic, partition] = [key.slice(0, cut), Number(key.slice(cut + 1))];
    const handled = onBatch({ topic, partition, records, producedMs: worldNow(), done });
    const go = (): void => {
      if (generation !== group.generation) return;
      member.busy.delete(key);
      member.positions.set(key, next);
      poke(group, key);
    };
    if (handled) {
      member.busy.add(key);
      void handled.then(go);
    } else go();
  };

  /** What needs no redelivery: what was committed, or, where a group keeps offsets of its own, where it stands. */
  const reachedBy = (group: Group, key: string): number => {
    const member = ownerOf(group, key);
    if (member?.options.onAssigned) return positionOf(group, member, key);
    return group.committed.get(key) ?? 0;
  };

  const pokeAll = (group: Group): void => {
    for (const key of logs.keys()) if (group.topics.includes(topicOf(key))) poke(group, key);
  };
  const assign = (group: Group, member: Member): void => {
    member.generation = group.generation;
    member.marks = new Map();
    member.positions = new Map();
    member.busy = new Set();
    member.starting = member.options.onAssigned !== undefined;
    if (!member.options.onAssigned) return;
    const { generation } = member;
    after(random.between(1, 50), member.process, () => {
      if (generation !== group.generation) return;
      const assigned = new Map<string, number[]>();
      for (const key of logs.keys()) {
        if (!group.topics.includes(topicOf(key)) || ownerOf(group, key) !== member) continue;
        const cut = key.lastIndexOf('/');
        const list = assigned.get(key.slice(0, cut)) ?? [];
        assigned.set(key.slice(0, cut), [...list, Number(key.slice(cut + 1))]);
      }
      void member.options.onAssigned?.(assigned).then((starts) => {
        if (generation !== group.generation) return;
        for (const { topic, partition, offset } of starts) member.positions.set(keyOf(topic, partition), offset);
        member.starting = false;
        pokeAll(group);
      });
    });
  };
  /** Everybody's positions go back to what was committed; what is in flight comes again. */
  const rebalanceGroup = (group: Group): void => {
    group.generation += 1;
    for (const member of group.members) assign(group, member);
    pokeAll(group);
  };
  const remove = (process: Process): void => {
    for (const group of groups.values()) {
      const before = group.members.length;
      group.members = group.members.filter((member) => member.process !== process);
      if (group.members.length < before) rebalanceGroup(group);
    }
  };

  const join = (process: Process, options: StreamOptions): [Group, Member] => {
    const { group: name, topics } = options;
    const group = groups.get(name) ?? { name, topics, members: [], committed: new Map(), generation: 0 };
    groups.set(name, group);
    const member: Member = {
      process,
      options,
      marks: new Map(),
      positions: new Map(),
      paused: new Set(),
      busy: new Set(),
      generation: 0,
      starting: false,
      halted: false,
      committing: false,
    };
    group.members = [...group.members, member];
    rebalanceGroup(group);
    return [group, member];
  };

  const streamOf = (group: Group, member: Member): Stream => ({
    pause: (topic, partition) => void member.paused.add(keyOf(topic, partition)),
    resume: (topic, partition) => {
      member.paused.delete(keyOf(topic, partition));
      if (member.generation === group.generation) poke(group, keyOf(topic, partition));
    },
    halt: () => {
      member.halted = true;
    },
    close: async () => {
      commit(group, member);
      group.members = group.members.filter((other) => other !== member);
      rebalanceGroup(group);
    },
  });

  const send = (process: Process, record: OutRecord): Promise<void> =>
    new Promise((resolve, reject) => {
      if (!process.alive) return;
      const { faults } = weather;
      const fail = (ms: number): void => void after(ms, process, () => reject(new Error('Kafka did not confirm')));
      const put = (ms: number): void =>
        void after(ms, WORLD, () => appendAt(record.topic, partitionOf(record), String(record.value)));
      if (weather.kafkaAwayUntil > worldNow() || random.chance(faults.produceDropped))
        return fail(random.between(200, 4_000));
      const took = random.chance(faults.produceSlow) ? random.between(500, 12_000) : random.between(1, 8);
      put(took);
      if (random.chance(faults.doubled)) put(took + random.between(0, 3_000));
      if (random.chance(faults.ackLost) || took > ACK_WITHIN_MS) return fail(random.between(500, ACK_WITHIN_MS));
      if (survives(weather, process)) after(took + random.between(1, 4), process, resolve);
    });

  return {
    producerOf: (process) => ({
      send: (record) => send(process, record),
      waiting: 0,
      idle: async () => undefined,
      close: async () => undefined,
    }),
    clientOf: (process) => ({
      ensureTopics: async () => undefined,
      endOffsets: async (topic) =>
        new Map(
          [...logs].flatMap(([key, { length }]) =>
            topicOf(key) === topic ? [[Number(key.slice(key.lastIndexOf('/') + 1)), length] as [number, number]] : [],
          ),
        ),
      producer: async () => {
        throw new Error('producerOf makes producers');
      },
      stream: async (options) => streamOf(...join(process, options)),
      partitionsOf: (topic) => (topic === TOPICS.dlq ? SLOTS * 3 : SLOTS * PER_SLOT),
      close: async () => undefined,
    }),
    append: (topic, value) => appendAt(topic, random.between(0, ANYWHERE - 1), value),
    lost: (process) => {
      after(SESSION_MS, WORLD, () => {
        // A frozen one that is back within its session stays; one that comes later joins anew.
        if (process.alive && process.frozenUntil <= worldNow()) return;
        const left = [...groups.values()].flatMap((group) =>
          group.members.filter((m) => m.process === process).map((m) => [group, m] as const),
        );
        remove(process);
        after(Math.max(0, process.frozenUntil - worldNow()) + 1, WORLD, () => {
          if (!process.alive) return;
          for (const [group, member] of left) {
            if (member.halted) continue;
            group.members = [...group.members, member];
            rebalanceGroup(group);
          }
        });
      });
    },
    rebalance: () => {
      for (const group of groups.values()) rebalanceGroup(group);
    },
    rewind: () => {
      for (const group of groups.values()) {
        group.committed.clear();
        rebalanceGroup(group);
      }
    },
    behind: () =>
      [...groups.values()].flatMap((group) =>
        [...logs].flatMap(([key, { length }]) => {
          if (!group.topics.includes(topicOf(key))) return [];
          const lag = length - reachedBy(group, key);
          return lag > 0 ? [`${group.name} ${key} ${lag}`] : [];
        }),
      ),
  };
}
