import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Fact } from '../../report/events.ts';
import { readMessage } from '../../report/message.ts';
import { createPatientWrite } from '../../report/patient-write.ts';
import type { Written } from '../../report/write.ts';
import type { MessageEvent, ReceiptEvent, StatusEvent } from '../../shared/events.ts';
import { newId } from '../../shared/id.ts';
import { createLog } from '../../shared/log.ts';
import { TOPICS } from '../../shared/topics.ts';
import {
  behind,
  createDatabase,
  expectCoherent,
  factsOf,
  ledgerEvent,
  messageEvent,
  newAccount,
  receiptEvent,
  statusEvent,
  type TestDatabase,
  writeFacts,
} from './fixture.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await createDatabase();
});
afterAll(() => db.close());

const write = (...facts: Fact[]): Promise<Written> => writeFacts(db.writer, facts);
const quiet = createLog('test', 'error', () => undefined);

async function rowOf(id: string) {
  const [row] = await db.sql`
    SELECT status, version, operator, attempts, posted::float8 AS posted, error, flags, operator_ids, phone, type, price::float8 AS price,
      history, receipts, (extract(epoch FROM updated_at) * 1000)::float8 AS updated_ms
    FROM messages WHERE id = ${id}`;
  return row ? { ...row } : null;
}

/** A message's life as billing may decide it: retries and unknowns, then an end, then receipts; versions count up. */
type Life = { message: MessageEvent; statuses: StatusEvent[]; receipts: ReceiptEvent[] };
const life = fc
  .record({
    before: fc.array(fc.constantFrom<StatusEvent['status']>('retrying', 'unknown'), { maxLength: 4 }),
    end: fc.option(fc.constantFrom<StatusEvent['status']>('sent', 'failed')),
    parts: fc.integer({ min: 0, max: 3 }),
    missing: fc.integer({ min: 0, max: 2 }),
    undelivered: fc.integer({ min: -1, max: 2 }),
    receiptCount: fc.integer({ min: 0, max: 5 }),
    price: fc.integer({ min: 0, max: 1_000_000 }),
    lastOperator: fc.constantFrom('MCI', 'MTN'),
    account: fc.constantFrom('prop-a', 'prop-b'),
    day: fc.integer({ min: 0, max: 2 }),
    dead: fc.boolean(),
  })
  .map(({ before, end, parts, missing, undelivered, receiptCount, price, lastOperator, account, day, dead }): Life => {
    const at = Date.now() - day * 86_400_000;
    const message = messageEvent({ accepted_at: at, id: newId(at), user_id: account, price, pages: parts + missing });
    const statuses = [...before, ...(end ? [end] : [])].map((status, i) => {
      const last = status === end && i === before.length;
      return statusEvent(message, {
        status,
        version: i + 1,
        attempt: i + 1,
        at: at + 100 * (i + 1),
        operator: last ? lastOperator : 'MCI',
        error: status === 'sent' ? null : `e${i}`,
        operator_ids: status === 'sent' ? Array.from({ length: parts }, (_, part) => `${message.id}-${part}`) : [],
        flags: last ? ['fallback', ...(status === 'sent' && missing > 0 ? (['partial'] as const) : [])] : [],
        dead: status === 'failed' && dead,
      });
    });
    const sent = statuses.at(-1);
    const receipts =
      sent?.status === 'sent'
        ? Array.from({ length: parts === 0 ? 0 : Math.min(receiptCount, parts + missing) }, (_, part) =>
            receiptEvent(sent, {
              // The operator's id of a part that nobody had answered is not known: its receipt bears ours.
              operator_id: sent.operator_ids[part] ?? `${message.id}-late-${part}`,
              ...(part < parts ? {} : { message_id: message.id }),
              part: true,
              status: part === undelivered ? 'undelivered' : 'delivered',
              at: at + 2_000 + part,
            }),
          )
        : [];
    return { message, statuses, receipts };
  });

/** What the row must say in the end, told without any of the code under test. */
function modelOf({ message, statuses, receipts }: Life) {
  const last = statuses.at(-1);
  let status: string = last?.status ?? 'queued';
  if (last?.status === 'sent' && receipts.length > 0) {
    if (receipts.some((r) => r.status === 'undelivered')) status = 'undelivered';
    else if (receipts.length === (last.flags.includes('partial') ? message.pages : last.operator_ids.length))
      status = 'delivered';
  }
  return {
    status,
    version: last?.version ?? 0,
    operator: last?.operator ?? message.operator,
    attempts: last?.attempt ?? 0,
    posted: last?.posted ?? 0,
    error: last?.error ?? null,
    price: message.price,
    flags: last?.flags.length ? last.flags : null,
    operator_ids: last?.operator_ids.length ? last.operator_ids : null,
    steps: statuses.length + receipts.length + 1,
    updated_ms: Math.max(message.accepted_at, last?.at ?? 0, ...receipts.map((r) => r.at)),
  };
}

describe('a message ends in the same row', () => {
  test('whatever the order, the repeats and the cuts between writes of its events', async () => {
    // Each event's place, its repeats and the cuts come from the seed, so that a failure can be run again.
    const plan = fc.record({
      lives: fc.array(life, { minLength: 1, maxLength: 5 }),
      order: fc.infiniteStream(fc.nat(1_000)),
      twice: fc.infiniteStream(fc.boolean()),
      cut: fc.infiniteStream(fc.nat(3)),
    });
    await fc.assert(
      fc.asyncProperty(plan, async ({ lives, order, twice, cut }) => {
        const events = lives
          .flatMap(({ message, statuses, receipts }) => [message, ...statuses, ...receipts])
          .flatMap((event) => (twice.next().value ? [event, event] : [event]))
          .map((event) => ({ event, place: order.next().value as number }))
          .sort((a, b) => a.place - b.place)
          .map(({ event }) => event);
        while (events.length > 0) await write(...factsOf(...events.splice(0, 1 + (cut.next().value as number) * 2)));
        for (const one of lives) {
          const { steps, ...expected } = modelOf(one);
          expect(await rowOf(one.message.id)).toMatchObject({ ...expected, phone: one.message.phone, type: 'normal' });
          const { timeline } = await readMessage(db.store, one.message.id);
          expect(timeline).toHaveLength(steps);
        }
        await expectCoherent(db.sql);
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  test('when two writers bring its events at one moment', async () => {
    const user_id = newAccount();
    const messages = Array.from({ length: 200 }, () => messageEvent({ user_id }));
    const statuses = messages.map((message) => statusEvent(message));
    const receipts = statuses.map((status) => receiptEvent(status));
    const patient = createPatientWrite(
      db.writer,
      quiet,
      () => false,
      () => undefined,
    );
    const both = [...factsOf(...messages, ...statuses), ...factsOf(...receipts)];
    await Promise.all(
      [both, [...both].reverse(), both.filter((_, i) => i % 2 === 0)].map((facts) =>
        patient(facts, () => undefined, behind(facts)),
      ),
    );
    const [row] = await db.sql`
      SELECT count(*)::int AS n, sum(posted)::int AS posted FROM messages WHERE user_id = ${user_id}`;
    expect({ ...row }).toEqual({ n: 200, posted: 200 * 220 });
    await expectCoherent(db.sql);
  });
});

describe('forward only', () => {
  test('an older decision that comes late never overwrites, and stands in the timeline', async () => {
    const message = messageEvent({ user_id: newAccount() });
    const retrying = statusEvent(message, { status: 'retrying', version: 1, error: 'queue full' });
    const sent = statusEvent(message, { version: 2, attempt: 2, at: message.accepted_at + 5_000 });
    await write(...factsOf(sent));
    await write(...factsOf(message, retrying));
    expect(await rowOf(message.id)).toMatchObject({
      status: 'sent',
      version: 2,
      attempts: 2,
      posted: 220,
      error: null,
    });
    const { timeline } = await readMessage(db.store, message.id);
    expect(timeline.map(({ event, attempt, detail }) => [event, attempt, detail])).toEqual([
      ['queued', null, null],
      ['retrying', 1, 'queue full'],
      ['sent', 2, null],
    ]);
  });

  test('sent and failed are final, whatever version comes after', async () => {
    const message = messageEvent({ user_id: newAccount() });
    await write(...factsOf(message, statusEvent(message, { version: 1 })));
    await write(...factsOf(statusEvent(message, { version: 9, status: 'failed', posted: 0 })));
    await write(...factsOf(statusEvent(message, { version: 10, status: 'retrying' })));
    expect(await rowOf(message.id)).toMatchObject({ status: 'sent', version: 1, posted: 220 });
    await expectCoherent(db.sql);
  });

  test('the SQL holds the rule on its own: it refuses what a broken fold would hand it', async () => {
    const message = messageEvent({ user_id: newAccount() });
    await write(...factsOf(message, statusEvent(message, { version: 3 })));
    for (const status of ['retrying', 'unknown', 'failed'] as const) {
      await write(...factsOf(statusEvent(message, { version: 2, status, posted: 0 })));
      expect(await rowOf(message.id)).toMatchObject({ status: 'sent', version: 3 });
    }
  });
});

describe('money', () => {
  test('what was posted is the number of the decision, not the price', async () => {
    const user_id = newAccount();
    const message = messageEvent({ user_id, price: 660, pages: 3 });
    await write(...factsOf(message, statusEvent(message, { posted: 440, flags: ['partial'] })));
    expect(await rowOf(message.id)).toMatchObject({ posted: 440, price: 660, flags: ['partial'] });
    await expectCoherent(db.sql);
  });

  test('a ledger entry that comes twice counts once', async () => {
    const user_id = newAccount();
    const topup = ledgerEvent(user_id, 123_456);
    const adjust = ledgerEvent(user_id, -456, { kind: 'adjust', reason: 'a mistake' });
    await write(...factsOf(topup, topup, adjust));
    await write(...factsOf(adjust, topup));
    const [row] = await db.sql`
      SELECT sum(entries)::int AS entries, sum(amount)::int AS amount FROM ledger_totals WHERE user_id = ${user_id}`;
    expect({ ...row }).toEqual({ entries: 2, amount: 123_000 });
  });
});

describe('what cannot be written', () => {
  const poisonAt = (offset: number, value: Buffer): Fact => ({
    topic: TOPICS.status,
    partition: 5,
    offset,
    kind: 'poison',
    reason: 'neither a status nor a receipt',
    value,
  });

  test('an undecodable record is kept with its origin, once, at most 4 KB of it', async () => {
    const fact = poisonAt(77, Buffer.alloc(10_000, 7));
    expect((await write(fact)).poison).toBe(1);
    await write(fact);
    const rows =
      await db.sql`SELECT topic, partition, "offset"::int AS offset, size, length(value) AS kept FROM poison_records`;
    expect(rows.map((row) => ({ ...row }))).toEqual([
      { topic: TOPICS.status, partition: 5, offset: 77, size: 10_000, kept: 4_096 },
    ]);
  });

  test('a record that PostgreSQL itself refuses is kept as poison; the rest of its batch is written', async () => {
    const user_id = newAccount();
    const messages = Array.from({ length: 9 }, () => messageEvent({ user_id }));
    const facts = factsOf(...messages);
    // Past what readFact lets through, as a fault of ours would be.
    (facts[4] as Fact & { kind: 'message' }).event.pages = 40_000;
    const written: Written[] = [];
    await createPatientWrite(
      db.writer,
      quiet,
      () => false,
      () => undefined,
    )(facts, (w) => void written.push(w), behind(facts));
    const [row] = await db.sql`SELECT count(*)::int AS n FROM messages WHERE user_id = ${user_id}`;
    expect(row?.n).toBe(8);
    expect(written.reduce((sum, w) => sum + w.poison, 0)).toBe(1);
    const [poison] = await db.sql`SELECT reason FROM poison_records WHERE "offset" = ${facts[4]?.offset ?? -1}`;
    expect(poison?.reason).toStartWith('refused by PostgreSQL: 22003');
    const [offsets] = await db.sql`
      SELECT next_offset::int AS next FROM consumer_offsets WHERE topic = ${TOPICS.normal} AND partition = 0`;
    expect(offsets?.next).toBe((facts.at(-1)?.offset ?? 0) + 1);
  });

  test('offsets move in the same transaction as the rows, and never backwards', async () => {
    const user_id = newAccount();
    const [first, second] = [messageEvent({ user_id }), messageEvent({ user_id })];
    const late = { topic: TOPICS.express, partition: 3, offset: 41, kind: 'message', event: second } as const;
    await write({ topic: TOPICS.express, partition: 3, offset: 99, kind: 'message', event: first });
    await write(late);
    const next = async () => {
      const [row] = await db.sql`
        SELECT next_offset::int AS next FROM consumer_offsets WHERE topic = ${TOPICS.express} AND partition = 3`;
      return row?.next;
    };
    expect(await next()).toBe(100);
    const broken = { ...late, offset: 200, event: { ...messageEvent({ user_id }), pages: 40_000 } };
    await expect(write(broken)).rejects.toThrow();
    expect(await next()).toBe(100);
  });
});
