import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readPage } from '../../report/list.ts';
import { migrate } from '../../report/migrate.ts';
import { createDays, firstId } from '../../report/partitions.ts';
import { createPatientWrite } from '../../report/patient-write.ts';
import { retain } from '../../report/retention.ts';
import { readSummary, readTotals } from '../../report/totals.ts';
import type { MessageEvent } from '../../shared/events.ts';
import { idTimeMs, newId } from '../../shared/id.ts';
import { createLog } from '../../shared/log.ts';
import {
  behind,
  createDatabase,
  factsOf,
  messageEvent,
  newAccount,
  receiptEvent,
  statusEvent,
  type TestDatabase,
  TIME_ZONE,
  writeFacts,
} from './fixture.ts';

const DAY_MS = 86_400_000;
let db: TestDatabase;
let nowMs = Date.now();
beforeAll(async () => {
  db = await createDatabase(() => nowMs);
});
afterAll(() => db.close());

const quiet = createLog('test', 'error', () => undefined);
const retention = { messagesDays: 30, deadLetterDays: 10, receiptsDays: 8 };
const unmatched: [string, number][] = [];
const round = () =>
  retain({
    sql: db.sql,
    days: db.writer.days,
    timeZone: TIME_ZONE,
    retention,
    now: () => nowMs,
    onUnmatched: (operator, count) => unmatched.push([operator, count]),
    log: quiet,
  });
const messageOf = (daysAgo: number, over: Partial<MessageEvent> = {}): MessageEvent => {
  const at = nowMs - daysAgo * DAY_MS;
  return messageEvent({ accepted_at: at, id: newId(at), ...over });
};
const partitions = async (table: string): Promise<string[]> => {
  const rows = await db.sql<{ name: string }[]>`
    SELECT relname AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = ${table}::regclass ORDER BY 1`;
  return rows.map(({ name }) => name);
};
const watermark = {
  of: async () => ({ recordsBehind: 0, readUntilMs: null }),
  lag: async () => new Map<string, number>(),
};

describe('days', () => {
  test('begin at midnight in the time zone of the summaries', async () => {
    const midnight = Date.parse('2026-03-10T00:00:00+03:30');
    const [before, after] = [midnight - 1, midnight].map((at) => messageEvent({ accepted_at: at, id: newId(at) }));
    await writeFacts(db.writer, factsOf(before as MessageEvent, after as MessageEvent));
    const rows = await db.sql<{ day: string; id: string }[]>`
      SELECT tableoid::regclass::text AS day, id FROM messages WHERE id IN (${before?.id ?? ''}, ${after?.id ?? ''}) ORDER BY id`;
    expect(rows.map(({ day }) => day)).toEqual(['messages_20260309', 'messages_20260310']);
  });

  test('are made once when several writers need them at one moment', async () => {
    const at = Date.parse('2026-05-05T12:00:00Z');
    const writers = Array.from({ length: 6 }, () => createDays(db.sql, TIME_ZONE));
    await Promise.all(writers.map((days) => days.ensure([at, at + DAY_MS])));
    expect((await partitions('messages')).filter((name) => name.startsWith('messages_202605'))).toEqual([
      'messages_20260505',
      'messages_20260506',
    ]);
  });

  test('the first id of an instant sorts before every id of it and after those before', () => {
    const at = Date.now();
    expect(firstId(at) < newId(at)).toBe(true);
    expect(firstId(at) > newId(at - 1)).toBe(true);
    expect(idTimeMs(firstId(at))).toBe(at);
  });

  test('those of a database are fixed: another time zone is refused with a sentence', async () => {
    await expect(migrate(db.url, 'UTC')).rejects.toThrow(/REPORT_TIME_ZONE: .*Asia\/Tehran/);
  });
});

describe('retention', () => {
  test('drops days, never sums; what comes again for a dropped day counts no second time', async () => {
    const user_id = newAccount();
    const old = messageOf(40, { user_id });
    const young = messageOf(5, { user_id });
    const facts = factsOf(old, statusEvent(old), young, statusEvent(young, { posted: 100 }));
    await writeFacts(db.writer, facts);
    const before = await readTotals(db.store, watermark, user_id);
    const summary = await readSummary(db.store, user_id, { fromMs: null, toMs: null }, 50);
    expect(before.posted).toBe(320);

    await round();
    const [rows] = await db.sql`SELECT count(*)::int AS n FROM messages WHERE user_id = ${user_id}`;
    expect(rows?.n).toBe(1);
    expect(await readTotals(db.store, watermark, user_id)).toEqual(before);
    expect(await readSummary(db.store, user_id, { fromMs: null, toMs: null }, 50)).toEqual(summary);

    expect((await writeFacts(db.writer, facts)).expired).toBe(2);
    expect(await readTotals(db.store, watermark, user_id)).toEqual(before);

    // A page counts what pages show.
    for (const range of [
      { fromMs: null, toMs: null },
      { fromMs: nowMs - 41 * DAY_MS, toMs: nowMs },
    ])
      for (const filter of [range, { ...range, status: 'sent' as const }]) {
        const { items, counts } = await readPage(db.store, user_id, filter, 50);
        expect([items.map(({ message_id }) => message_id), counts.sent]).toEqual([[young.id], 1]);
      }
    const gone = await readPage(db.store, user_id, { fromMs: null, toMs: nowMs - 39 * DAY_MS }, 50);
    expect([gone.items, gone.counts.sent]).toEqual([[], 0]);
  });

  test('a replica that does not know yet what another dropped meets no error and counts nothing twice', async () => {
    const user_id = newAccount();
    const old = messageOf(29, { user_id });
    const facts = factsOf(old, statusEvent(old));
    await writeFacts(db.writer, facts);
    const other = { ...db.writer, days: createDays(db.sql, TIME_ZONE) };
    await writeFacts(other, factsOf(messageOf(29, { user_id: newAccount() })));
    nowMs += 3 * DAY_MS;
    await round();
    let expired = 0;
    const patient = createPatientWrite(
      other,
      quiet,
      () => false,
      () => undefined,
    );
    await patient(
      facts,
      (written) => {
        expired += written.expired;
      },
      behind(facts),
    );
    expect(expired).toBe(2);
    expect((await readTotals(db.store, watermark, user_id)).posted).toBe(220);
  });

  test('makes the days ahead', async () => {
    await round();
    const ahead = new Intl.DateTimeFormat('en-CA', { timeZone: TIME_ZONE })
      .format(nowMs + 2 * DAY_MS)
      .replaceAll('-', '');
    expect(await partitions('messages')).toContain(`messages_${ahead}`);
    expect(await partitions('operator_ids')).toContain(`operator_ids_${ahead}`);
  });

  test("forgets operators' ids and receipts that found nothing after their days, and counts these", async () => {
    const status = statusEvent(messageEvent(), { operator_ids: ['of-nobody'] });
    await writeFacts(db.writer, factsOf(receiptEvent(status)));
    await round();
    expect(unmatched).toEqual([]);
    await db.sql`UPDATE receipts_waiting SET received_at = received_at - interval '20 days'`;
    await round();
    expect(unmatched).toEqual([['MCI', 1]]);
    for (const name of await partitions('operator_ids')) {
      const limit = new Intl.DateTimeFormat('en-CA', { timeZone: TIME_ZONE })
        .format(nowMs - 8 * DAY_MS)
        .replaceAll('-', '');
      expect(name.slice('operator_ids_'.length) >= limit).toBe(true);
    }
  });

  test('forgets dead letters after their days', async () => {
    const [old, young] = [messageOf(12), messageOf(3)];
    const dead = (of: MessageEvent) => statusEvent(of, { status: 'failed', dead: true, posted: 0 });
    // Written while it was still young enough.
    await writeFacts({ ...db.writer, deadLetterDays: 30 }, factsOf(dead(old), dead(young)));
    await round();
    const rows = await db.sql<{ id: string }[]>`SELECT id FROM dead_letters WHERE id IN (${old.id}, ${young.id})`;
    expect(rows.map(({ id }) => id)).toEqual([young.id]);
    await writeFacts({ ...db.writer, deadLetterDays: 10 }, factsOf(dead(old)));
    const again = await db.sql`SELECT 1 FROM dead_letters WHERE id = ${old.id}`;
    expect(again.length).toBe(0);
  });
});
