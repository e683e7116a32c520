/** The fear: a consumer that kafkajs has given up takes nothing any more, or its whole process ends for a moment's trouble. */
import { afterEach, expect, test } from 'bun:test';
import { connectKafka } from '../../shared/kafka.ts';
import { createRejoining } from '../../shared/kafka-rejoin.ts';
import { createLog } from '../../shared/log.ts';
import { TOPICS } from '../../shared/topics.ts';
import { infra } from '../support/infra.ts';
import { until } from '../support/poll.ts';

const { kafkaBrokers } = infra();
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A group of one that reads a record which is written now; the handler throws what kafkajs does not try again, `faults` times. */
async function readWithFaults(faults: number) {
  const lines: string[] = [];
  const log = createLog('test', 'warn', (line) => lines.push(line));
  const kafka = connectKafka({ brokers: kafkaBrokers.split(','), clientId: 'rejoin', log });
  closers.push(() => kafka.close());
  await kafka.ensureTopics({ replication: 1, retentionMs: 86_400_000 });
  const producer = await kafka.producer();
  closers.push(() => producer.close());
  const value = crypto.randomUUID();
  await producer.send({ topic: TOPICS.ledger, value });
  let left = faults;
  const seen: string[] = [];
  const crashes: Error[] = [];
  const stream = await kafka.stream({
    group: `rejoin-${value}`,
    topics: [TOPICS.ledger],
    minBytes: 1,
    maxWaitMs: 50,
    onBatch: ({ records, done }) => {
      if (left-- > 0) throw new TypeError('nothing that kafkajs tries again');
      for (const { offset, value: read } of records) {
        seen.push(String(read));
        done(offset);
      }
    },
    onCrash: (error) => crashes.push(error),
  });
  closers.push(() => stream.close());
  return {
    value,
    seen,
    crashes,
    crashed: () => lines.filter((line) => line.includes('kafka_consumer_crashed')).length,
  };
}

test('a consumer that was given up twice joins again and reads what it had not', async () => {
  const { value, seen, crashes, crashed } = await readWithFaults(2);
  await until('the record is read', () => seen.includes(value));
  expect(crashed()).toBe(2);
  expect(crashes).toEqual([]);
});

test('one that is given up again and again is told to be gone, once', async () => {
  const { seen, crashes, crashed } = await readWithFaults(1_000);
  await until('it is gone', () => crashes.length > 0);
  expect(crashes.map(({ message }) => message)).toEqual(['nothing that kafkajs tries again']);
  expect(crashed()).toBe(5);
  expect(seen).toEqual([]);
});

const away = { name: 'KafkaJSNonRetriableError', cause: { name: 'KafkaJSGroupCoordinatorNotFound' } };
const MINUTE_MS = 60_000;

function atTimes() {
  let now = 1_000;
  const rejoining = createRejoining(() => now);
  const pass = (ms: number): void => {
    now += ms;
  };
  return { ...rejoining, pass };
}

test('without a coordinator it is run again for five minutes from the first time, and anew once it was a member', () => {
  const { crashed, joined, pass } = atTimes();
  expect(crashed(away)).toEqual({ again: true, awayMs: 0 });
  pass(5 * MINUTE_MS);
  expect(crashed(away)).toEqual({ again: true, awayMs: 5 * MINUTE_MS });
  pass(1);
  expect(crashed(away).again).toBe(false);
  joined();
  expect(crashed(away)).toEqual({ again: true, awayMs: 0 });
});

test('what is given up for another reason is run again five times in five minutes, member or not', () => {
  const { crashed, joined, pass } = atTimes();
  for (let i = 0; i < 5; i++) {
    expect(crashed(new TypeError('x'))).toEqual({ again: true, awayMs: null });
    joined();
    pass(1_000);
  }
  expect(crashed(new TypeError('x')).again).toBe(false);
  pass(5 * MINUTE_MS);
  expect(crashed(new TypeError('x')).again).toBe(true);
});
