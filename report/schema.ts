/**
 * The tables. `messages` and `operator_ids` are partitioned by day on the message's id: a UUIDv7 begins with its time, so an
 * event finds its row by the id alone, and the newest come first in the order of ids. drizzle-kit cannot express that: the
 * first migration carries the PARTITION BY clauses by hand, and partitions.ts makes the days.
 */
import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  customType,
  date,
  index,
  integer,
  jsonb,
  pgEnum,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core';

/** In the order of DESIGN.md's "forward only": a lower one never overwrites a higher one. */
export const messageStatus = pgEnum('message_status', [
  'queued',
  'retrying',
  'unknown',
  'sent',
  'failed',
  'delivered',
  'undelivered',
]);
export const messageType = pgEnum('message_type', ['express', 'normal']);
export const messageEncoding = pgEnum('message_encoding', ['gsm7', 'ucs2']);
export const messageLane = pgEnum('message_lane', ['express', 'normal', 'bulk']);

const bytea = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => 'bytea' });
const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'string' });
/** Compared byte by byte whatever the database's language is: these are looked up and sorted for each message. */
const name = customType<{ data: string; driverData: string }>({ dataType: () => 'text COLLATE "C"' });
const rials = (name: string) => bigint(name, { mode: 'number' });

/** A decision that another took the place of, keyed by its version in `history`; the one that stands is the row itself. */
export type HistoryStep = {
  /** The status. */
  s: string;
  /** The attempt. */
  a: number;
  /** The operator, where there was one. */
  o?: string;
  /** Rials posted, where not 0. */
  p?: number;
  /** The error, where there was one. */
  e?: string;
  /** Epoch milliseconds. */
  at: number;
};
/**
 * A part's delivery receipt, keyed by the operator's id in `receipts`; names as in HistoryStep. `part` is kept of those that bear
 * our own id, which may prove an unknown: of the rest the operator's ids say how many parts there are.
 */
export type PartReceipt = { s: 'delivered' | 'undelivered'; e?: string; part?: true; at: number };

/** One row a message. What its `queued` event brings is null until that came: a status may come first. */
export const messages = pgTable(
  'messages',
  {
    id: uuid('id').primaryKey(),
    user_id: name('user_id').notNull(),
    phone: name('phone'),
    text: text('text'),
    type: messageType('type'),
    lane: messageLane('lane'),
    sender: text('sender'),
    encoding: messageEncoding('encoding'),
    pages: smallint('pages'),
    price: rials('price'),
    batch_id: uuid('batch_id'),
    client_ref: name('client_ref'),
    replay_of: uuid('replay_of'),
    /** The operator that the number belongs to; `operator` is the one that carried it last. */
    routed: name('routed'),
    status: messageStatus('status').notNull(),
    version: integer('version').notNull(),
    operator: name('operator').notNull(),
    attempts: smallint('attempts').notNull(),
    posted: rials('posted').notNull(),
    error: text('error'),
    /** When the decision that stands was made; null while there is none. */
    decided_at: instant('decided_at'),
    flags: text('flags').array(),
    operator_ids: text('operator_ids').array(),
    history: jsonb('history').$type<Record<string, HistoryStep>>(),
    receipts: jsonb('receipts').$type<Record<string, PartReceipt>>(),
    created_at: instant('created_at').notNull(),
    updated_at: instant('updated_at').notNull(),
    /** What the row counted for before its last write: the upsert answers it, so that the totals move by exact differences. */
    prev_status: messageStatus('prev_status'),
    prev_operator: name('prev_operator'),
    prev_type: messageType('prev_type'),
    prev_posted: rials('prev_posted'),
  },
  (t) => [
    index('messages_user').on(t.user_id, t.id),
    index('messages_phone').on(t.phone, t.id),
    index('messages_batch').on(t.batch_id, t.id).where(sql`batch_id is not null`),
    index('messages_client_ref').on(t.user_id, t.client_ref, t.id).where(sql`client_ref is not null`),
    index('messages_replay').on(t.replay_of).where(sql`replay_of is not null`),
  ],
);

/** The statuses that few messages have for long, or end in: each such message has a row in `exceptions`. */
export const EXCEPTIONS = ['retrying', 'unknown', 'failed', 'undelivered'] as const;
export const isException = (status: string | undefined): boolean =>
  EXCEPTIONS.includes(status as (typeof EXCEPTIONS)[number]);

/**
 * The messages whose status is an exception, for whoever looks for these among millions that were sent. A table beside and no
 * index on the messages' status: one index that names a column makes every update of it write all the others too.
 */
export const exceptions = pgTable(
  'exceptions',
  {
    id: uuid('id').primaryKey(),
    user_id: name('user_id').notNull(),
    status: messageStatus('status').notNull(),
    operator: name('operator').notNull(),
    phone: name('phone'),
    /** When its first receipt came: of one that is not decided, it proves that the operator took it (unknowns.ts). */
    receipted_at: instant('receipted_at'),
  },
  (t) => [
    index('exceptions_user').on(t.user_id, t.status, t.id),
    index('exceptions_open')
      .on(t.operator, t.phone)
      .where(sql`status = 'unknown' or (status = 'retrying' and receipted_at is not null)`),
  ],
);

/** The sums of messages by account and day: kept for ever, moved in the transaction of each write of rows. */
export const dailyTotals = pgTable(
  'daily_totals',
  {
    user_id: name('user_id').notNull(),
    day: date('day', { mode: 'string' }).notNull(),
    operator: name('operator').notNull(),
    /** Empty while the message's `queued` has not come. */
    type: name('type').notNull(),
    status: messageStatus('status').notNull(),
    messages: bigint('messages', { mode: 'number' }).notNull(),
    pages: bigint('pages', { mode: 'number' }).notNull(),
    price: rials('price').notNull(),
    posted: rials('posted').notNull(),
  },
  (t) => [primaryKey({ columns: [t.user_id, t.day, t.operator, t.type, t.status] })],
);

/** Top-ups and corrections as billing's ledger told them. */
export const ledgerEntries = pgTable(
  'ledger_entries',
  {
    transaction_id: uuid('transaction_id').primaryKey(),
    user_id: name('user_id').notNull(),
    day: date('day', { mode: 'string' }).notNull(),
    kind: text('kind').$type<'topup' | 'adjust'>().notNull(),
    amount: rials('amount').notNull(),
    reason: text('reason'),
    at: instant('at').notNull(),
  },
  (t) => [index('ledger_entries_user').on(t.user_id, t.day, t.at, t.transaction_id)],
);

export const ledgerTotals = pgTable(
  'ledger_totals',
  {
    user_id: name('user_id').notNull(),
    day: date('day', { mode: 'string' }).notNull(),
    entries: bigint('entries', { mode: 'number' }).notNull(),
    amount: rials('amount').notNull(),
  },
  (t) => [primaryKey({ columns: [t.user_id, t.day] })],
);

/**
 * Which message an operator's id belongs to, for the days that receipts may take. An event that is read again adds its ids
 * again, which changes nothing: a hash index without uniqueness costs half of a key, and it is written for each message.
 */
export const operatorIds = pgTable(
  'operator_ids',
  {
    operator_id: name('operator_id').notNull(),
    operator: name('operator').notNull(),
    message_id: uuid('message_id').notNull(),
  },
  (t) => [index('operator_ids_id').using('hash', t.operator_id)],
);

/** Receipts whose message has not come yet. */
export const receiptsWaiting = pgTable(
  'receipts_waiting',
  {
    operator_id: name('operator_id').notNull(),
    operator: name('operator').notNull(),
    message_id: uuid('message_id'),
    /** The handset's number where the receipt named it: it may settle the only open unknown of that number. */
    phone: name('phone'),
    /** It is of one part, not of the whole message. */
    part: boolean('part').notNull().default(false),
    status: messageStatus('status').notNull(),
    error: text('error'),
    at: instant('at').notNull(),
    received_at: instant('received_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.operator_id, t.operator] }),
    index('receipts_waiting_message').on(t.message_id).where(sql`message_id is not null`),
    index('receipts_waiting_received').on(t.received_at),
  ],
);

export const deadLetters = pgTable(
  'dead_letters',
  {
    id: uuid('id').primaryKey(),
    user_id: name('user_id').notNull(),
    operator: name('operator').notNull(),
    attempts: smallint('attempts').notNull(),
    error: text('error'),
    died_at: instant('died_at').notNull(),
    replayed_as: uuid('replayed_as'),
    replayed_at: instant('replayed_at'),
    /** A discarded one stays as a mark until its retention ends, or a re-read topic would bring it back. */
    discarded_at: instant('discarded_at'),
  },
  (t) => [index('dead_letters_user').on(t.user_id, t.id)],
);

/** Records that could not be read, with their origin. */
export const poisonRecords = pgTable(
  'poison_records',
  {
    topic: text('topic').notNull(),
    partition: integer('partition').notNull(),
    offset: bigint('offset', { mode: 'number' }).notNull(),
    reason: text('reason').notNull(),
    size: integer('size').notNull(),
    /** The first 4 KB. */
    value: bytea('value').notNull(),
    at: instant('at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.topic, t.partition, t.offset] })],
);

/** How far each partition is written: moved in the same transaction as what was read from it. */
export const consumerOffsets = pgTable(
  'consumer_offsets',
  {
    topic: text('topic').notNull(),
    partition: integer('partition').notNull(),
    next_offset: bigint('next_offset', { mode: 'number' }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.topic, t.partition] })],
);

/** What the database itself remembers: `time_zone`, and `dropped_before_ms`, before which days were dropped. */
export const reportState = pgTable('report_state', { key: text('key').primaryKey(), value: text('value').notNull() });
