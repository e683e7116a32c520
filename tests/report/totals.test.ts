import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { Kafka, logLevel } from 'kafkajs';
import { readStatement } from '../../report/statement.ts';
import { readSummary, readTotals } from '../../report/totals.ts';
import { createWatermark } from '../../report/watermark.ts';
import { newId } from '../../shared/id.ts';
import { connectKafka } from '../../shared/kafka.ts';
import { createLog } from '../../shared/log.ts';
import { TOPICS } from '../../shared/topics.ts';
import { infra } from '../support/infra.ts';
import {
  createDatabase,
  factsOf,
  ledgerEvent,
  messageEvent,
  newAccount,
  statusEvent,
  type TestDatabase,
  writeFacts,
} from './fixture.ts';

const servers = infra();
const quiet = createLog('test', 'error', () => undefined);
let db: TestDatabase;
beforeAll(async () => {
  db = await createDatabase();
});
afterAll(() => db.close());

const sentAt = (iso: string, user_id: string, over: { price?: number; operator?: string; posted?: number } = {}) => {
  const ms = Date.parse(iso);
  const { posted, ...rest } = over;
  const message = messageEvent({ user_id, accepted_at: ms, id: newId(ms), ...rest });
  return [message, statusEvent(message, posted === undefined ? {} : { posted })] as const;
};
const always = { fromMs: null, toMs: null };

describe('the statement', () => {
  test('lists top-ups, corrections and spending by day with the balance after each, whatever the size of its pages', async () => {
    const user = newAccount();
    await writeFacts(
      db.writer,
      factsOf(
        ledgerEvent(user, 1_000, { at: Date.parse('2026-06-01T08:00:00Z') }),
        ...sentAt('2026-06-01T09:00:00Z', user, { price: 300 }),
        ledgerEvent(user, -50, { at: Date.parse('2026-06-02T08:00:00Z'), kind: 'adjust', reason: 'a mistake' }),
        ledgerEvent(user, 500, { at: Date.parse('2026-06-02T10:00:00Z') }),
        ...sentAt('2026-06-02T07:00:00Z', user, { price: 100 }),
        ...sentAt('2026-06-02T11:00:00Z', user, { price: 200, posted: 150 }),
      ),
    );
    const whole = await readStatement(db.store, user, 50);
    expect(whole.totals).toEqual({ topped_up: 1_450, spent: 550, balance: 900 });
    expect(
      whole.items.map(({ day, kind, amount, balance_after, reason, messages }) => [
        day,
        kind,
        amount,
        balance_after,
        reason,
        messages,
      ]),
    ).toEqual([
      ['2026-06-02', 'spending', -250, 900, null, 2],
      ['2026-06-02', 'topup', 500, 1_150, null, null],
      ['2026-06-02', 'adjust', -50, 650, 'a mistake', null],
      ['2026-06-01', 'spending', -300, 700, null, 1],
      ['2026-06-01', 'topup', 1_000, 1_000, null, null],
    ]);
    for (const limit of [1, 2, 3]) {
      const items: unknown[] = [];
      let cursor: string | undefined;
      do {
        const page = await readStatement(db.store, user, limit, cursor);
        items.push(...page.items);
        cursor = page.next_cursor ?? undefined;
      } while (cursor !== undefined);
      expect(items).toEqual(whole.items);
    }
  });

  test('ends with the balance that the totals say, and begins from nothing', async () => {
    const day = fc.integer({ min: 0, max: 20 });
    const entry = fc.record({ day, second: fc.nat(86_399), amount: fc.integer({ min: -500, max: 5_000 }) });
    const cost = fc.record({ day, price: fc.integer({ min: 0, max: 300 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { maxLength: 12 }),
        fc.array(cost, { maxLength: 12 }),
        fc.integer({ min: 1, max: 6 }),
        async (entries, costs, limit) => {
          const user = newAccount();
          const base = Date.parse('2026-07-01T00:00:00Z');
          await writeFacts(
            db.writer,
            factsOf(
              ...entries.map((e) => ledgerEvent(user, e.amount, { at: base + e.day * 86_400_000 + e.second * 1_000 })),
              ...costs.flatMap((c) =>
                sentAt(new Date(base + c.day * 86_400_000).toISOString(), user, { price: c.price }),
              ),
            ),
          );
          const items: Awaited<ReturnType<typeof readStatement>>['items'] = [];
          let cursor: string | undefined;
          let balance = 0;
          do {
            const page = await readStatement(db.store, user, limit, cursor);
            items.push(...page.items);
            balance = page.totals.balance;
            cursor = page.next_cursor ?? undefined;
          } while (cursor !== undefined);
          const expected = entries.reduce((sum, e) => sum + e.amount, 0) - costs.reduce((sum, c) => sum + c.price, 0);
          expect(balance).toBe(expected);
          let running = 0;
          for (const item of items.reverse()) {
            running += item.amount;
            expect(item.balance_after).toBe(running);
          }
          expect(running).toBe(expected);
        },
      ),
      { numRuns: 15 },
    );
  }, 60_000);

  test('of an unknown account is empty', async () => {
    expect(await readStatement(db.store, newAccount(), 5)).toMatchObject({
      totals: { topped_up: 0, spent: 0, balance: 0 },
      items: [],
      next_cursor: null,
    });
  });

  test('refuses a cursor of another list', async () => {
    const cursor = Buffer.from('["2026-06-01",1,"x"]').toString('base64url');
    await expect(readStatement(db.store, 'x', 5, cursor)).rejects.toMatchObject({ code: 'invalid_request' });
  });
});

describe('the summary', () => {
  test('counts messages, pages and cost by day, operator and type; a range inside a day counts its rows', async () => {
    const user = newAccount();
    await writeFacts(
      db.writer,
      factsOf(
        ...sentAt('2026-06-01T09:00:00Z', user, { price: 300 }),
        ...sentAt('2026-06-01T10:00:00Z', user, { price: 100, operator: 'MTN' }),
        ...sentAt('2026-06-01T20:29:59Z', user),
        ...sentAt('2026-06-01T20:30:00Z', user),
      ),
    );
    const line = (day: string, operator: string, messages: number, cost: number) => ({
      day,
      operator,
      type: 'normal',
      messages,
      pages: messages,
      cost,
    });
    const whole = await readSummary(db.store, user, always, 50);
    expect(whole.items).toEqual([
      line('2026-06-02', 'MCI', 1, 220),
      line('2026-06-01', 'MCI', 2, 520),
      line('2026-06-01', 'MTN', 1, 100),
    ]);
    expect(whole.total).toEqual({ messages: 4, pages: 4, cost: 840 });
    const first = await readSummary(db.store, user, always, 1);
    expect(first.items).toEqual([line('2026-06-02', 'MCI', 1, 220)]);
    const second = await readSummary(db.store, user, always, 1, first.next_cursor ?? '');
    expect(second.items.map(({ day }) => day)).toEqual(['2026-06-01', '2026-06-01']);
    expect(second.next_cursor).toBeNull();
    const part = await readSummary(
      db.store,
      user,
      { fromMs: Date.parse('2026-06-01T09:30:00Z'), toMs: Date.parse('2026-06-01T20:31:00Z') },
      50,
    );
    expect(part.items).toEqual([
      line('2026-06-02', 'MCI', 1, 220),
      line('2026-06-01', 'MCI', 1, 220),
      line('2026-06-01', 'MTN', 1, 100),
    ]);
  });
});

describe('the totals', () => {
  test('are the sums of the ledger and of what was posted', async () => {
    const user = newAccount();
    const message = messageEvent({ user_id: user });
    await writeFacts(db.writer, factsOf(ledgerEvent(user, 5_000), message, statusEvent(message)));
    const watermark = { of: async () => ({ recordsBehind: 3, readUntilMs: 1_000 }), lag: async () => new Map() };
    expect(await readTotals(db.store, watermark, user)).toEqual({
      user_id: user,
      topped_up: 5_000,
      posted: 220,
      watermark: { records_behind: 3, read_until: '1970-01-01T00:00:01.000Z' },
    });
  });

  test('are not answered when Kafka does not tell where its logs end', async () => {
    const kafka = connectKafka({ brokers: ['127.0.0.1:1'], clientId: 'test', log: quiet });
    const watermark = createWatermark(kafka, [TOPICS.status], Date.now);
    await expect(readTotals(db.store, watermark, 'x')).rejects.toMatchObject({ code: 'unavailable' });
    await kafka.close();
  });
});

describe('the watermark', () => {
  const topic = `watermark-${newId()}`;
  const broker = new Kafka({ brokers: servers.kafkaBrokers.split(','), logLevel: logLevel.NOTHING });
  const kafka = connectKafka({ brokers: servers.kafkaBrokers.split(','), clientId: 'test', log: quiet });
  const producer = broker.producer();
  const produce = (partition: number, count: number) =>
    producer.send({ topic, messages: Array.from({ length: count }, () => ({ value: '{}', partition })) });
  beforeAll(async () => {
    const admin = broker.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 2 }], waitForLeaders: true });
    await admin.disconnect();
    await kafka.ensureTopics({ replication: 1, retentionMs: 86_400_000 });
    await producer.connect();
  });
  afterAll(() => Promise.all([producer.disconnect(), kafka.close()]));

  test('counts what is behind, and says up to which instant everything is counted', async () => {
    let nowMs = 1_000_000;
    const watermark = createWatermark(kafka, [topic], () => nowMs);
    const offsets = (first: number, second: number) =>
      new Map([
        [`${topic}/0`, first],
        [`${topic}/1`, second],
      ]);
    expect(await watermark.of([topic], new Map())).toEqual({ recordsBehind: 0, readUntilMs: 1_000_000 });
    await produce(0, 3);
    await produce(1, 2);
    nowMs += 400;
    // The ends are asked for twice a second at most: this is still the instant of before.
    expect(await watermark.of([topic], new Map())).toEqual({ recordsBehind: 0, readUntilMs: 1_000_000 });
    nowMs += 100;
    expect(await watermark.of([topic], offsets(1, 2))).toEqual({ recordsBehind: 2, readUntilMs: 1_000_000 });
    await produce(0, 1);
    nowMs += 500;
    // What had been there half a second ago is written; one record came since.
    expect(await watermark.of([topic], offsets(3, 2))).toEqual({ recordsBehind: 1, readUntilMs: 1_000_500 });
    expect(await watermark.lag(offsets(4, 2))).toEqual(new Map([[topic, 0]]));
    expect(await watermark.of([topic], offsets(4, 2))).toEqual({ recordsBehind: 0, readUntilMs: 1_001_000 });
  });
});
