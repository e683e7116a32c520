import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test';
import { readBalance } from '../../billing/accounts.ts';
import { startSweeper } from '../../billing/sweeper.ts';
import { Outcome } from '../../shared/billing.ts';
import type { LedgerEvent, RetryEvent, StatusEvent } from '../../shared/events.ts';
import { newId } from '../../shared/id.ts';
import { connectKafka, type KafkaClient } from '../../shared/kafka.ts';
import type { Producer } from '../../shared/kafka-producer.ts';
import { createLog } from '../../shared/log.ts';
import { TOPICS } from '../../shared/topics.ts';
import { assertCoherent, readShard } from '../support/coherence.ts';
import { infra } from '../support/infra.ts';
import { until } from '../support/poll.ts';
import { SHARDS, TAGS, tagOf } from '../support/shards.ts';
import { connectTestKafka } from '../support/stack-servers.ts';
import { type Calls, callsOn, EVER, relayed } from './calls.ts';
import { type OwnRedis, quiet, startOwnRedis } from './own-redis.ts';

let own: OwnRedis;
let billing: Calls;
let kafka: KafkaClient;
let producer: Producer;
const { kafkaBrokers } = infra();
const closers: (() => Promise<unknown>)[] = [];
/** Everything that came by Kafka; messages of other files are told apart by their ids. */
const read = { status: [] as StatusEvent[], dlq: [] as RetryEvent[], ledger: [] as LedgerEvent[] };

beforeAll(async () => {
  own = await startOwnRedis();
  billing = callsOn(own.redis, {
    retryWaitsMs: [1, 1, 1],
    publishGraceMs: 30,
    adriftAfterMs: 30,
    relayAfterMs: 30,
    forgetAfterMs: 100,
  });
  kafka = connectKafka({ brokers: [kafkaBrokers], clientId: 'sweeper-test', log: quiet });
  await kafka.ensureTopics({ replication: 1, retentionMs: 3_600_000 });
  producer = await kafka.producer();
  const consumer = connectTestKafka(kafkaBrokers).consumer({ groupId: `sweeper-test-${newId()}` });
  await consumer.connect();
  await consumer.subscribe({ topics: [TOPICS.status, TOPICS.dlq, TOPICS.ledger], fromBeginning: true });
  const lists = { [TOPICS.status]: read.status, [TOPICS.dlq]: read.dlq, [TOPICS.ledger]: read.ledger } as Record<
    string,
    unknown[]
  >;
  await consumer.run({
    eachMessage: async ({ topic, message }) => {
      // The topics are read from their beginning, and a file before this one may have left what nobody can read.
      const event = readable(String(message.value));
      if (event !== null) lists[topic]?.push(event);
    },
  });
  closers.push(() => consumer.disconnect());
}, 60_000);
afterAll(async () => {
  for (const close of closers) await close();
  await producer.close();
  await kafka.close();
  await own.close();
});

function readable(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return null;
  }
}

let sweepers: { close(): Promise<void> }[] = [];
beforeEach(async () => {
  await own.redis.flushdb();
});
afterEach(async () => {
  await Promise.all(sweepers.map((sweeper) => sweeper.close()));
  sweepers = [];
  await assertCoherent(own.url);
});

function sweep(owner = 'one', onSwept: (count: number) => void = () => undefined, log = quiet): void {
  const { redis } = own;
  sweepers.push(startSweeper({ redis, scripts: billing.scripts, producer, owner, everyMs: 20, log, onSwept }));
}

/** A message that is held. */
async function held(user: string, validMs = 86_400_000): Promise<string> {
  await billing.topUp(user, 100);
  const id = newId();
  await billing.hold({ user, items: [{ id, price: 40, validMs }] });
  return id;
}
const statuses = (id: string) => read.status.filter((event) => event.id === id);
/** The statuses of a message up to its final one, each once, however often and in whatever order they came. */
async function finals(id: string): Promise<StatusEvent[]> {
  return until('every status came by Kafka', () => {
    const versions = [...new Map(statuses(id).map((event) => [event.version, event])).values()];
    versions.sort((x, y) => x.version - y.version);
    const last = versions.at(-1);
    return (last?.status === 'failed' || last?.status === 'sent') && versions.length === last.version && versions;
  });
}

test('a claim that was left behind becomes unknown, then failed and perhaps sent, and is refunded', async () => {
  const id = await held('wait');
  // Partitions that were just made have no leader for a moment: the first outcome is published before the second follows.
  await billing.claim('wait', id, { ttl: 1, unknown_wait_ms: 3_000 });
  sweep();
  const [unknown, failed, ...more] = await finals(id);
  expect(unknown).toMatchObject({ status: 'unknown', error: 'claim_left_behind', operator: 'MCI', posted: 0 });
  expect(failed).toMatchObject({
    status: 'failed',
    error: 'no_answer',
    flags: ['perhaps_sent'],
    posted: 0,
    dead: false,
  });
  expect(more).toEqual([]);
  expect(await readBalance(own.redis, SHARDS, 'wait')).toEqual({
    available: 100,
    held: 0,
    posted: 0,
    topped_up: 100,
    open: 0,
  });
});

test('a claim that was left behind at an operator that removes doubles is sent again, perhaps double, by the same operator', async () => {
  const id = await held('resend');
  await billing.claim('resend', id, { ttl: 1, resend_unknown: true, operator: 'MTN' });
  sweep();
  const retry = await until('the retry came by Kafka', () => read.dlq.find((event) => event.id === id));
  expect(retry).toMatchObject({ attempt: 2, user_id: 'resend', price: 40, pinned: 'MTN' });
  await until('its status came by Kafka', () => statuses(id).length > 0);
  expect(statuses(id)[0]).toMatchObject({ status: 'retrying', attempt: 1, flags: ['perhaps_double'] });
  expect(await readBalance(own.redis, SHARDS, 'resend')).toMatchObject({ available: 60, held: 40, open: 1 });
});

test('a message that was sent again after an unknown and then refused is refunded, and the operator perhaps has it', async () => {
  for (const [user, outcome] of [
    ['refused', Outcome.REJECTED],
    ['refused-to-the-end', Outcome.TRANSIENT],
  ] as const) {
    const id = await held(user);
    await billing.claim(user, id, { resend_unknown: true });
    await billing.settle(user, id, { outcome: Outcome.UNKNOWN, error: 'no_answer' });
    for (let attempt = 2; attempt <= 4; attempt++) {
      await until(
        'it may be tried again',
        async () => (await billing.claim(user, id, { attempt, resend_unknown: true })).code === 0,
      );
      await billing.settle(user, id, { attempt, outcome, error: 'refused' });
      if (outcome === Outcome.REJECTED) break;
    }
    sweep();
    const failed = await until('its end came by Kafka', () => statuses(id).find(({ status }) => status === 'failed'));
    expect(failed).toMatchObject({
      status: 'failed',
      error: 'refused',
      flags: ['perhaps_double', 'perhaps_sent'],
      posted: 0,
    });
    expect(await readBalance(own.redis, SHARDS, user)).toMatchObject({ available: 100, held: 0, posted: 0 });
  }
});

test('what was never claimed while it was valid ends expired and is refunded', async () => {
  const id = await held('late', 1);
  sweep();
  const [failed] = await finals(id);
  expect(failed).toMatchObject({ status: 'failed', error: 'expired', flags: [], posted: 0, attempt: 1 });
  expect(await readBalance(own.redis, SHARDS, 'late')).toMatchObject({ available: 100, held: 0 });
});

test('an outcome that nobody published is published, once and for all', async () => {
  const id = await held('sent');
  await billing.claim('sent', id);
  await billing.settle('sent', id, { outcome: Outcome.SENT, operator_ids: ['x', 'y'] });
  let swept = 0;
  sweep('one', (count) => {
    swept += count;
  });
  expect(await finals(id)).toMatchObject([{ status: 'sent', posted: 40, operator_ids: ['x', 'y'], version: 1 }]);
  await until('it is being forgotten', async () => (await readShard(own.redis, tagOf('sent'))).due.size === 0);
  expect(swept).toBe(1);
  await until('it is forgotten', async () => {
    const { records, leaving } = await readShard(own.redis, tagOf('sent'));
    return records.size + leaving.size === 0;
  });
});

test('a top-up that nobody published is published and leaves the outbox', async () => {
  const tag = tagOf('rich');
  const id = newId(Date.now() - 10_000);
  const young = newId();
  const event = { transaction_id: id, user_id: 'rich', kind: 'topup', amount: 5, reason: null, at: Date.now() };
  await billing.scripts.topup(tag, 'rich', id, 5, '', '', JSON.stringify(event), 1_000);
  await billing.scripts.topup(
    tag,
    'rich',
    young,
    7,
    '',
    '',
    JSON.stringify({ ...event, transaction_id: young }),
    1_000,
  );
  sweep();
  await until('it came by Kafka', () => read.ledger.some(({ transaction_id }) => transaction_id === id));
  expect(read.ledger.find(({ transaction_id }) => transaction_id === id)).toEqual(event as LedgerEvent);
  await until('it left the outbox', async () => (await own.redis.hkeys(`${tag}:ledger`)).join() === young);
});

test('many top-ups that nobody published all come', async () => {
  const tag = tagOf('rich');
  const ids = Array.from({ length: 700 }, () => newId(Date.now() - 10_000));
  await Promise.all(
    ids.map((id) => {
      const event = { transaction_id: id, user_id: 'rich', kind: 'topup', amount: 1, reason: null, at: 1 };
      return billing.scripts.topup(tag, 'rich', id, 1, '', '', JSON.stringify(event), 1_000);
    }),
  );
  sweep();
  await until('the outbox is empty', async () => (await own.redis.hlen(`${tag}:ledger`)) === 0);
  const came = () => new Set(read.ledger.map(({ transaction_id }) => transaction_id));
  await until('all came by Kafka', () => ids.every((id) => came().has(id)));
});

test('a message that was handed back and whose record is passed comes again, until somebody claims it', async () => {
  const id = await held('adrift');
  await billing.produced('adrift', id);
  await billing.claim('adrift', id);
  await billing.settle('adrift', id, { outcome: Outcome.RELEASED });
  sweep();
  const given = async () => relayed(await billing.scripts.relay(tagOf('adrift'), 'gateway', 5_000, 10, 0, EVER)).events;
  const comesAgain = () => until('the relay is given it', async () => (await given())[0]);
  expect(await comesAgain()).toMatchObject({ id });
  // A confirmation of its first production may come only now: it must not be the end of it.
  await billing.produced('adrift', id);
  expect(await comesAgain()).toMatchObject({ id });
  expect((await billing.claim('adrift', id, { claim: 2 })).code).toBe(0);
  const boxed = async () => (await readShard(own.redis, tagOf('adrift'))).outbox.size;
  await until('the relay drops it', async () => (await given()).length === 0 && (await boxed()) === 0);
});

test('the relay is given what was due in between two instants, the oldest first, as often as it asks until Kafka has it', async () => {
  const ids: string[] = [];
  for (let n = 0; n < 6; n += 1) ids.push(await held('queue'));
  const tag = tagOf('queue');
  const dueAt = await Promise.all(ids.map(async (id) => Number(await own.redis.zscore(`${tag}:outbox`, id))));
  await until('all are due', () => Date.now() > Math.max(...dueAt) + 50);
  const relay = async (most: number, after: number, by: number) =>
    relayed(await billing.scripts.relay(tag, 'gateway', 5_000, most, after, by));
  const [first, third] = [dueAt[0], dueAt[2]] as [number, number];
  const upTo = (at: number) => ids.filter((_, i) => (dueAt[i] as number) <= at);
  for (let round = 0; round < 2; round += 1) {
    const one = await relay(100, 0, third);
    expect(one.events.map(({ id }) => id)).toEqual(upTo(third));
    expect([one.reached, one.more, one.dueAt]).toEqual([third, false, dueAt.slice(0, one.events.length)]);
    expect((await relay(100, third, EVER)).events.map(({ id }) => id)).toEqual(ids.slice(upTo(third).length));
  }
  // Those of one instant are not parted.
  const cut = await relay(1, 0, EVER);
  expect([cut.events.map(({ id }) => id), cut.reached, cut.more]).toEqual([upTo(first), first, true]);
  await billing.produced('queue', ids[0] as string);
  expect((await relay(100, 0, EVER)).events.map(({ id }) => id)).toEqual(ids.slice(1));
});

test('a retry that was handed back comes again by sms-dlq, though its first publication is confirmed late', async () => {
  const id = await held('again');
  await billing.claim('again', id);
  await billing.settle('again', id, { outcome: Outcome.TRANSIENT, error: 'busy' });
  await until('it may be claimed', async () => (await billing.claim('again', id, { attempt: 2 })).code === 0);
  await billing.settle('again', id, { attempt: 2, outcome: Outcome.RELEASED });
  await billing.published({ user_id: 'again', message_id: id, version: 1 });
  sweep();
  const times = () => read.dlq.filter((event) => event.id === id && event.attempt === 2).length;
  await until('it came again and again', () => times() >= 2);
});

test('once its outcome is confirmed a message is forgotten: only the account is left', async () => {
  const ids = await Promise.all(['x', 'x', 'y'].map((user) => held(user)));
  const expired = newId();
  await billing.hold({ user: 'x', items: [{ id: expired, price: 1, validMs: 1 }] });
  await billing.produced('x', ids[0] as string, ids[1] as string, expired);
  await billing.produced('y', ids[2] as string);
  await billing.claim('x', ids[0] as string);
  await billing.settle('x', ids[0] as string, { outcome: Outcome.REJECTED });
  for (const [user, id] of [
    ['x', ids[1]],
    ['y', ids[2]],
  ] as const) {
    await billing.claim(user, id as string);
    await billing.settle(user, id as string, { outcome: Outcome.SENT });
  }
  for (const tag of TAGS) await own.redis.del(`${tag}:ledger`);
  sweep();
  const accounts = ['x', 'y'].map((user) => `${tagOf(user)}:a:${user}`).sort();
  const left = async () => (await own.redis.keys('*')).filter((key) => !key.includes(':lease:')).sort();
  await until('only the accounts are left', async () => (await left()).join() === accounts.join());
  for (const tag of TAGS) expect(await own.redis.pttl(`${tag}:lease:sweep`)).toBeGreaterThan(0);
});

/** A log that is read: its events that tell what the sweeper ended. */
function readLog() {
  const lines: Record<string, unknown>[] = [];
  const log = createLog('test', 'info', (line) => void lines.push(JSON.parse(line)));
  return { log, of: (event: string) => lines.filter((line) => line.event === event) };
}

test('what the sweeper ends is in the log by its id, once; what others decided is not', async () => {
  const expired = await held('told', -1);
  const left = await held('told');
  await billing.claim('told', left, { ttl: 1, unknown_wait_ms: 1 });
  const sent = await held('told');
  await billing.claim('told', sent);
  await billing.settle('told', sent, { outcome: Outcome.SENT });
  const { log, of } = readLog();
  sweep('one', undefined, log);
  await until('both have ended', () => of('record_swept').length >= 3);
  await finals(sent);
  const told = of('record_swept').map(({ message_id, status, reason }) => [message_id, status, reason]);
  expect(told).toHaveLength(3);
  expect(new Set(told)).toEqual(
    new Set([
      [expired, 'failed', 'expired'],
      [left, 'unknown', 'claim_left_behind'],
      [left, 'failed', 'no_answer'],
    ]),
  );
  expect(of('more_records_swept')).toEqual([]);
});

test('a round that ends many names some of them and counts the rest', async () => {
  const accounts = ['many-a', 'many-b', 'many-c'];
  for (const user of accounts) {
    await billing.topUp(user, 1_000);
    await billing.hold({ user, items: Array.from({ length: 600 }, () => ({ price: 1, validMs: -1 })) });
  }
  const { log, of } = readLog();
  sweep('one', undefined, log);
  // In one round, unless Kafka refuses something in the middle: then the next one goes on.
  const told = (): number =>
    of('record_swept').length + of('more_records_swept').reduce((sum, { expired }) => sum + (expired as number), 0);
  await until('all are told', () => told() === accounts.length * 600);
  expect(of('record_swept').length).toBeLessThan(100);
});

test('one replica sweeps a shard; when it dies its lease passes on', async () => {
  for (const tag of TAGS) await own.redis.set(`${tag}:lease:sweep`, 'dead', 'PX', 400);
  const id = await held('leased', 1);
  const by: string[] = [];
  sweep('two', (count) => void (count > 0 && by.push('two')));
  sweep('three', (count) => void (count > 0 && by.push('three')));
  expect(await billing.scripts.sweep(tagOf('leased'), 'four', 5_000, 10)).toBeNull();
  await finals(id);
  expect(await own.redis.get(`${tagOf('leased')}:lease:sweep`)).toBeOneOf(['two', 'three']);
  await until('it was told', () => by.length > 0);
  expect(by).toHaveLength(1);
});
