/** A database of a test file's own, and events as the other services publish them. */
import { expect } from 'bun:test';
import { randomBytes } from 'node:crypto';
import type { Fact } from '../../report/events.ts';
import { migrate } from '../../report/migrate.ts';
import { createDays } from '../../report/partitions.ts';
import { openStore, type Store } from '../../report/store.ts';
import { type Reached, type Writer, type Written, writeFacts as write } from '../../report/write.ts';
import type { LedgerEvent, MessageEvent, ReceiptEvent, StatusEvent } from '../../shared/events.ts';
import { newId } from '../../shared/id.ts';
import { closePostgres, connectPostgres, type Sql } from '../../shared/postgres.ts';
import { TOPICS } from '../../shared/topics.ts';
import { infra } from '../support/infra.ts';

// Asked at the top, where it may take its time: hooks have a timeout.
const servers = infra();

export const TIME_ZONE = 'Asia/Tehran';

export type TestDatabase = { url: string; sql: Sql; store: Store; writer: Writer; close(): Promise<void> };

/** Creates a database with the report's tables; `close` drops it. */
export async function createDatabase(now: () => number = Date.now, timeZone = TIME_ZONE): Promise<TestDatabase> {
  const name = `report_${randomBytes(6).toString('hex')}`;
  const admin = connectPostgres(servers.databaseUrl, { name: 'test-admin', max: 1, statementTimeoutMs: 30_000 });
  await admin.unsafe(`CREATE DATABASE ${name}`);
  const url = new URL(servers.databaseUrl);
  url.pathname = `/${name}`;
  await migrate(url.href, timeZone);
  const sql = connectPostgres(url.href, { name: 'test-write', max: 4, statementTimeoutMs: 30_000 });
  const store = openStore(url.href, timeZone);
  const days = createDays(sql, timeZone);
  return {
    url: url.href,
    sql,
    store,
    writer: { sql, days, timeZone, receiptsDays: 8, deadLetterDays: 30, now, mergesUntilMs: 0 },
    close: async () => {
      await Promise.all([closePostgres(sql), closePostgres(store.sql)]);
      await admin.unsafe(`DROP DATABASE ${name} WITH (FORCE)`);
      await closePostgres(admin);
    },
  };
}

/** Where partitions stand once all of these facts are written. */
export function behind(facts: readonly Fact[]): Reached[] {
  const reached = new Map<string, Reached>();
  for (const { topic, partition, offset } of facts) {
    const key = `${topic}/${partition}`;
    reached.set(key, { topic, partition, next: Math.max(reached.get(key)?.next ?? 0, offset + 1) });
  }
  return [...reached.values()];
}

/** Writes facts of which none is waited with; whatever was written before, what seems new is copied. */
export const writeFacts = (writer: Writer, facts: readonly Fact[]): Promise<Written> =>
  write({ ...writer }, facts, behind(facts));

/** What a write did with receipts of this operator, the one that messageEvent names. */
export const receiptsOf = ({ receipts }: Written, operator = 'MCI') => receipts.get(operator);

let account = 0;
/** An account that no other test uses. */
export const newAccount = (): string => `acc-${randomBytes(4).toString('hex')}-${account++}`;

export function messageEvent(over: Partial<MessageEvent> = {}): MessageEvent {
  const at = over.accepted_at ?? Date.now();
  return {
    id: newId(at),
    user_id: '123',
    phone: '+989121234567',
    text: 'کد تایید: 1234',
    type: 'normal',
    lane: 'normal',
    sender: '10001234',
    operator: 'MCI',
    encoding: 'ucs2',
    pages: 1,
    price: 220,
    accepted_at: at,
    valid_until: at + 86_400_000,
    ...over,
  };
}

export function statusEvent(of: MessageEvent, over: Partial<StatusEvent> = {}): StatusEvent {
  const status = over.status ?? 'sent';
  return {
    kind: 'status',
    id: of.id,
    user_id: of.user_id,
    status,
    version: 1,
    attempt: 1,
    operator: of.operator,
    operator_ids: status === 'sent' ? [`op-${of.id}`] : [],
    posted: status === 'sent' ? of.price : 0,
    error: null,
    flags: [],
    at: of.accepted_at + 100,
    dead: false,
    ...over,
  };
}

export function receiptEvent(of: StatusEvent, over: Partial<ReceiptEvent> = {}): ReceiptEvent {
  return {
    kind: 'receipt',
    operator: of.operator,
    operator_id: of.operator_ids[0] ?? '',
    status: 'delivered',
    error: null,
    at: of.at + 1_000,
    ...over,
  };
}

export function ledgerEvent(user_id: string, amount: number, over: Partial<LedgerEvent> = {}): LedgerEvent {
  const at = over.at ?? Date.now();
  return { transaction_id: newId(at), user_id, kind: 'topup', amount, reason: null, at, ...over };
}

let offset = 0;
type Event = MessageEvent | StatusEvent | ReceiptEvent | LedgerEvent;

/** Events as facts, each with an offset of its own. */
export function factsOf(...events: Event[]): Fact[] {
  return events.map((event): Fact => {
    const at = { partition: 0, offset: offset++ };
    if ('transaction_id' in event) return { ...at, topic: TOPICS.ledger, kind: 'ledger', event };
    if (!('kind' in event)) return { ...at, topic: TOPICS[event.lane], kind: 'message', event };
    return event.kind === 'status'
      ? { ...at, topic: TOPICS.status, kind: 'status', event }
      : { ...at, topic: TOPICS.status, kind: 'receipt', event };
  });
}

type Sums = Record<string, { messages: number; pages: number; price: number; posted: number }>;

/** The exceptions as they are kept, and as the rows say; equal at any instant as well. */
export async function exceptionsOf(sql: Sql): Promise<{ kept: string[]; counted: string[] }> {
  const kept = await sql<{ line: string }[]>`
    SELECT concat_ws('|', id, user_id, status, operator, phone, receipted_at IS NOT NULL) AS line FROM exceptions ORDER BY id`;
  const counted = await sql<{ line: string }[]>`
    SELECT concat_ws('|', id, user_id, status, operator, phone, receipts IS NOT NULL) AS line FROM messages
    WHERE status IN ('retrying', 'unknown', 'failed', 'undelivered') ORDER BY id`;
  return { kept: kept.map(({ line }) => line), counted: counted.map(({ line }) => line) };
}

/** The totals by day as they stand, and as the rows say; the two must be equal at any instant. */
export async function sumsOf(sql: Sql): Promise<{ kept: Sums; counted: Sums }> {
  type Row = { key: string; messages: number; pages: number; price: number; posted: number };
  const kept = await sql<Row[]>`
    SELECT concat_ws('|', user_id, day, operator, type, status) AS key, messages::float8, pages::float8, price::float8,
      posted::float8
    FROM daily_totals WHERE messages <> 0 OR pages <> 0 OR price <> 0 OR posted <> 0`;
  const counted = await sql<Row[]>`
    SELECT concat_ws('|', user_id, (created_at AT TIME ZONE ${TIME_ZONE})::date, operator, coalesce(type::text, ''), status)
      AS key, count(*)::float8 AS messages, coalesce(sum(pages), 0)::float8 AS pages, coalesce(sum(price), 0)::float8 AS price,
      sum(posted)::float8 AS posted
    FROM messages GROUP BY 1`;
  const keyed = (rows: readonly Row[]): Sums =>
    Object.fromEntries(
      [...rows].sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ key, ...sums }) => [key, { ...sums }]),
    );
  return { kept: keyed(kept), counted: keyed(counted) };
}

/** What is kept beside the rows is what the rows say. */
export async function expectCoherent(sql: Sql): Promise<void> {
  const { kept, counted } = await sumsOf(sql);
  expect(kept).toEqual(counted);
  const exceptions = await exceptionsOf(sql);
  expect(exceptions.kept).toEqual(exceptions.counted);
}
