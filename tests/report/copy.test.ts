/** The fear: a row that was copied is another one than the upsert would have made, counts twice, or takes its batch with it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { createBinaryRows } from '../../report/binary-rows.ts';
import type { Fact } from '../../report/events.ts';
import { type Writer, writeFacts } from '../../report/write.ts';
import type { MessageEvent, StatusEvent } from '../../shared/events.ts';
import { newId } from '../../shared/id.ts';
import type { Sql } from '../../shared/postgres.ts';
import {
  behind,
  createDatabase,
  expectCoherent,
  factsOf,
  messageEvent,
  newAccount,
  receiptEvent,
  receiptsOf,
  statusEvent,
  sumsOf,
  type TestDatabase,
} from './fixture.ts';

let copying: TestDatabase;
let merging: TestDatabase;
beforeAll(async () => {
  [copying, merging] = await Promise.all([createDatabase(), createDatabase()]);
});
beforeEach(() => {
  copying.writer.mergesUntilMs = 0;
  merging.writer.mergesUntilMs = Number.POSITIVE_INFINITY;
});
afterAll(() => Promise.all([copying.close(), merging.close()]));

const write = (writer: Writer, facts: readonly Fact[]) => writeFacts(writer, facts, behind(facts));

const rowsOf = (sql: Sql) => sql`SELECT * FROM messages ORDER BY id`.then((rows) => rows.map((row) => ({ ...row })));

const text = fc.string({ unit: 'grapheme', maxLength: 80 }).map((s) => s.toWellFormed().replaceAll('\0', ''));
const name = text.filter((s) => s !== '' && s.length <= 64);
const optional = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined });
const id = fc.integer({ min: 0, max: 3 * 86_400_000 }).map((ago) => newId(Date.now() - ago));

/** A message with what became of it, as both stand in one batch. */
const whole = fc
  .record({
    id,
    text: fc.oneof(text, fc.constantFrom('"', '\\', '{a,b}', 'NULL', 'سلام 😀', 'x'.repeat(200_000))),
    user_id: name,
    sender: text,
    client_ref: optional(name),
    batch_id: optional(id),
    replay_of: optional(id),
    lane: fc.constantFrom('express', 'normal', 'bulk'),
    encoding: fc.constantFrom('gsm7', 'ucs2'),
    pages: fc.integer({ min: 0, max: 32_767 }),
    price: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    status: fc.constantFrom('sent', 'sent', 'sent', 'failed', 'retrying', 'unknown'),
    version: fc.integer({ min: 1, max: 2_147_483_647 }),
    attempt: fc.integer({ min: 0, max: 32_767 }),
    posted: fc.integer({ min: 0, max: 2 ** 40 }),
    error: fc.option(text),
    flags: fc.array(name, { maxLength: 3 }),
    operator: fc.constantFrom('MCI', 'MTN', ''),
    operatorIds: fc.uniqueArray(name, { maxLength: 3 }),
    receipts: fc.integer({ min: 0, max: 3 }),
    older: fc.boolean(),
  })
  .map(({ status, version, attempt, posted, error, flags, operator, operatorIds, receipts, older, ...rest }) => {
    const message = messageEvent({ ...rest, type: rest.lane === 'express' ? 'express' : 'normal' } as MessageEvent);
    const decided = { status, version, attempt, posted, error, flags, operator, operator_ids: operatorIds };
    const end = statusEvent(message, decided as Partial<StatusEvent>);
    const before = older && version > 1 ? [statusEvent(message, { status: 'retrying', version: version - 1 })] : [];
    const those = operatorIds.slice(0, receipts).map((operator_id) => receiptEvent(end, { operator_id, operator }));
    return [message, ...before, end, ...those];
  });

describe('what is copied', () => {
  test('is the row that the upsert makes, with the same sums and exceptions, whatever stands in it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(whole, { minLength: 1, maxLength: 12 }), async (lives) => {
        const facts = factsOf(...lives.flat());
        copying.writer.mergesUntilMs = 0;
        const [copied, merged] = await Promise.all([write(copying.writer, facts), write(merging.writer, facts)]);
        expect(copied).toEqual(merged);
        expect(copying.writer.mergesUntilMs).toBe(0);
      }),
      { numRuns: 60 },
    );
    const rows = await rowsOf(copying.sql);
    expect(rows.length).toBeGreaterThan(60);
    expect(rows).toEqual(await rowsOf(merging.sql));
    expect(await sumsOf(copying.sql)).toEqual(await sumsOf(merging.sql));
    await expectCoherent(copying.sql);
  }, 120_000);

  test('is merged from then on like any other row', async () => {
    const message = messageEvent({ user_id: newAccount() });
    const sent = statusEvent(message);
    for (const { writer, sql } of [copying, merging]) {
      await write(writer, factsOf(message, sent));
      await write(writer, factsOf(receiptEvent(sent, { status: 'undelivered' })));
      const [row] = await sql`SELECT status, prev_status FROM messages WHERE id = ${message.id}`;
      expect({ ...row }).toEqual({ status: 'undelivered', prev_status: 'sent' });
    }
    await expectCoherent(copying.sql);
  });
});

describe('what is there already', () => {
  const batchOf = (messages: readonly MessageEvent[]) =>
    factsOf(...messages.flatMap((message) => [message, statusEvent(message)]));

  test('is merged, with its whole batch, and counts once; so are the batches of the next ten seconds', async () => {
    let now = Date.now();
    const writer: Writer = { ...copying.writer, now: () => now, mergesUntilMs: 0 };
    const user_id = newAccount();
    const [old, ...fresh] = [1, 2, 3].map(() => messageEvent({ user_id })) as [MessageEvent, ...MessageEvent[]];
    await write(writer, batchOf([old]));
    expect(writer.mergesUntilMs).toBe(0);
    expect(await write(writer, batchOf([...fresh, old]))).toMatchObject({ rows: 3 });
    expect(writer.mergesUntilMs).toBe(now + 10_000);
    const [sums] = await copying.sql`SELECT messages::int, posted::int FROM daily_totals WHERE user_id = ${user_id}`;
    expect({ ...sums }).toEqual({ messages: 3, posted: 660 });
    // Copied, this would fail and be merged: the instant would move.
    now += 9_999;
    await write(writer, batchOf([old]));
    expect(writer.mergesUntilMs).toBe(now + 1);
    now += 1;
    await write(writer, batchOf([old]));
    expect(writer.mergesUntilMs).toBe(now + 10_000);
    await expectCoherent(copying.sql);
  });

  test('sums that numbers do not hold are left to PostgreSQL', async () => {
    const user_id = newAccount();
    const prices = [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 2];
    await write(copying.writer, batchOf(prices.map((price) => messageEvent({ user_id, price }))));
    const [sums] = await copying.sql`SELECT price::text, posted::text FROM daily_totals WHERE user_id = ${user_id}`;
    const sum = String(prices.reduce((total, price) => total + BigInt(price), 0n));
    expect({ ...sums }).toEqual({ price: sum, posted: sum });
  });

  test('two writers that copy the same messages at one moment count each once', async () => {
    const user_id = newAccount();
    for (let round = 0; round < 20; round += 1) {
      const facts = batchOf(Array.from({ length: 30 }, () => messageEvent({ user_id })));
      const writers = [1, 2].map(() => ({ ...copying.writer, mergesUntilMs: 0 }));
      await Promise.all(writers.map((writer) => write(writer, facts)));
    }
    const [sums] =
      await copying.sql`SELECT sum(messages)::int AS messages FROM daily_totals WHERE user_id = ${user_id}`;
    expect(sums?.messages).toBe(600);
    await expectCoherent(copying.sql);
  });

  test('a receipt that waited for a batch that was written twice is joined once', async () => {
    const [old, fresh] = [1, 2].map(() => messageEvent({ user_id: newAccount() })) as [MessageEvent, MessageEvent];
    const writer: Writer = { ...copying.writer, mergesUntilMs: 0 };
    const sent = statusEvent(fresh);
    await write(writer, batchOf([old]));
    expect(receiptsOf(await write(writer, factsOf(receiptEvent(sent))))).toMatchObject({ early: 1 });
    expect(receiptsOf(await write(writer, batchOf([old, fresh])))).toMatchObject({ matched: 1, waited: 1, doubled: 0 });
    const [row] = await copying.sql`SELECT status FROM messages WHERE id = ${fresh.id}`;
    expect(row?.status).toBe('delivered');
    await expectCoherent(copying.sql);
  });
});

describe('binary rows', () => {
  test('a value that its column cannot hold is refused, and never cut', () => {
    const rows = createBinaryRows();
    const bad = [
      () => rows.uuid('not-one'),
      () => rows.uuid('01a204c2-af49-7b77-a81a-1784584b17'),
      () => rows.int16(32_768),
      () => rows.int16(-32_769),
      () => rows.int32(2_147_483_648),
      () => rows.int64(2 ** 53),
      () => rows.int64(0.5),
      () => rows.instant(Number.NaN),
    ];
    for (const write of bad) expect(write).toThrow(RangeError);
  });

  test('numbers and lists stand in the order of the network', () => {
    const rows = createBinaryRows();
    rows.row(3);
    rows.int64(-2);
    rows.none();
    rows.texts(['é']);
    const bytes = Buffer.concat(rows.end()).subarray(19).toString('hex');
    const list = '0000001a' + '00000001' + '00000000' + '00000019' + '00000001' + '00000001' + '00000002' + 'c3a9';
    expect(bytes).toBe(`0003${'00000008'}fffffffffffffffe${'ffffffff'}${list}ffff`);
  });
});
