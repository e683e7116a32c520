/** The fear: partitions change their broker, and a record that nobody has is taken for written, or one in flight for done. */
import { expect, test } from 'bun:test';
import { createProducer } from '../../shared/kafka-producer.ts';
import { openStream, type StreamOptions } from '../../shared/kafka-stream.ts';
import { createLog } from '../../shared/log.ts';
import { TOPICS } from '../../shared/topics.ts';
import { until } from '../support/poll.ts';
import { type Fetch, twoBrokers } from './two-brokers.ts';

const TOPIC = TOPICS.status;
const log = createLog('test', 'error', () => undefined);

test('a batch of which one broker took its part and the other does not lead any more is written whole', async () => {
  const world = twoBrokers(TOPIC, ['1', '2']);
  world.lead(`${TOPIC}/1`, '1');
  const producer = createProducer(world.producer, () => 2);
  await Promise.all([
    producer.send({ topic: TOPIC, value: 'stays', turn: 0 }),
    producer.send({ topic: TOPIC, value: 'moves', turn: 1 }),
  ]);
  expect(world.written.get(`${TOPIC}/1`)).toEqual(['moves']);
  // Twice where it had been taken: harmless, as any doubled record.
  expect(new Set(world.written.get(`${TOPIC}/0`))).toEqual(new Set(['stays']));
});

test('a record for a partition that its topic does not have is refused, not taken for written', async () => {
  const world = twoBrokers(TOPIC, ['1']);
  const producer = createProducer(world.producer, () => 2);
  await producer.send({ topic: TOPIC, value: 'there', turn: 0 });
  await expect(producer.send({ topic: TOPIC, value: 'nowhere', turn: 1 })).rejects.toThrow(`${TOPIC}/1`);
});

/** A stream over two partitions, one on each broker; the second one's committed position is 500. */
async function reader(onBatch: StreamOptions['onBatch']) {
  const world = twoBrokers(TOPIC, ['1', '2']);
  world.committed.set(`${TOPIC}/1`, 500);
  const crashes: Error[] = [];
  const onCrash = (error: Error): void => void crashes.push(error);
  const options = { group: 'group', topics: [TOPIC], minBytes: 1, maxWaitMs: 1, onBatch, onCrash };
  const stream = await openStream(world.consumer('group'), options, () => 2, log);
  const fetchOf = (nodeId: string): Promise<Fetch> =>
    until(`a fetch at broker ${nodeId}`, () => world.fetches.find((fetch) => fetch.nodeId === nodeId), { everyMs: 1 });
  return {
    world,
    /** Where broker 2's partition is read from next. */
    position: async () => (await fetchOf('2')).asked.flatMap(({ partitions }) => partitions)[0]?.fetchOffset,
    give: async (offset: number) => {
      const messages = [{ offset: String(offset), value: Buffer.from('record') }];
      const answer = { partition: 1, highWatermark: String(offset + 1), messages };
      (await fetchOf('2')).answer([{ topicName: TOPIC, partitions: [answer] }]);
    },
    /** Broker 1 says that it does not lead any more; answers once the group was joined anew. */
    rejoin: async () => {
      const { joins } = world;
      (await fetchOf('1')).refuse();
      await fetchOf('1');
      expect(world.joins).toBe(joins + 1);
    },
    close: async () => {
      const closed = stream.close().then(() => true);
      await until('the stream is closed', () => {
        for (const fetch of [...world.fetches]) fetch.answer([]);
        return Promise.race([closed, false]);
      });
      expect(crashes).toEqual([]);
      return world.committed.get(`${TOPIC}/1`);
    },
  };
}

test('an answer from before a join does not move the position past what is in flight', async () => {
  const taken: number[] = [];
  const { world, position, give, rejoin, close } = await reader(({ records, done }) => {
    for (const { offset } of records) {
      taken.push(offset);
      if (offset !== 500) done(offset);
    }
  });
  expect(await position()).toBe('500');
  await give(500);
  expect(await position()).toBe('501');
  const [before] = world.fetches.filter(({ nodeId }) => nodeId === '2');
  await rejoin();
  expect(world.fetches).toContain(before as Fetch);
  await give(501);
  expect(await position()).toBe('500');
  expect(taken).toEqual([500]);
  expect(await close()).toBe(500);
});

test('a handler that was at work when the group was joined does not move the position either', async () => {
  const finish: (() => void)[] = [];
  const { world, position, give, rejoin, close } = await reader(({ records, done }) => {
    if (records[0]?.offset === 501) return new Promise<void>((resolve) => finish.push(resolve));
    expect(records.map(({ offset }) => offset)).toEqual([500]);
    if (finish.length > 0) done(500);
  });
  await give(500);
  expect(await position()).toBe('501');
  await give(501);
  await until('the handler works', () => finish.length > 0);
  await rejoin();
  expect(world.fetches.filter(({ nodeId }) => nodeId === '2')).toEqual([]);
  finish[0]?.();
  expect(await position()).toBe('500');
  await give(500);
  expect(await position()).toBe('501');
  expect(await close()).toBe(501);
});
