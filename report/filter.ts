/** What a report may be narrowed by: the query's schema, its reading, and the conditions in SQL. */
import { type Static, Type } from '@sinclair/typebox';
import { and, eq, gte, lt, type SQL } from 'drizzle-orm';
import { AppError, type FieldError } from '../shared/error.ts';
import { oneOf } from '../shared/openapi.ts';
import type { Sql, SqlFragment } from '../shared/postgres.ts';
import { parsePhone } from '../shared/sms/phone.ts';
import { dayOf, dayStartMs, isDay } from './calendar.ts';
import { firstId } from './partitions.ts';
import { messageStatus, messages } from './schema.ts';
import type { Store } from './store.ts';

export const STATUSES = messageStatus.enumValues;

const day = '[0-9]{4}-[0-9]{2}-[0-9]{2}';
const INSTANT = new RegExp(`^${day}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+ -][0-9]{2}:[0-9]{2}))?$`);
const instantOf = (about: string, example: string) =>
  Type.Optional(
    Type.String({
      pattern: INSTANT.source,
      description: `${about}; ISO 8601 with an offset, or a date alone for the whole day in REPORT_TIME_ZONE`,
      example,
      error: 'must be an ISO 8601 instant with an offset, or a date',
    }),
  );

export const Limit = Type.Optional(
  Type.String({
    pattern: '^([1-9]|[1-9][0-9]|[1-4][0-9]{2}|500)$',
    description: 'items in a page, 1 to 500; 50 when not given',
    example: '50',
    error: 'must be a whole number from 1 to 500',
  }),
);
export const Cursor = Type.Optional(
  Type.String({
    pattern: '^[A-Za-z0-9_-]{1,300}$',
    description: 'the next_cursor of the page before',
    error: 'must be a next_cursor of this very list',
  }),
);
export const limitOf = (limit: string | undefined): number => Number(limit ?? 50);

const uuid = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';
export const MessageId = Type.String({
  pattern: uuid,
  description: 'a message id',
  example: '0193a5c8-7c11-7d3e-9f00-5a1b2c3d4e5f',
  error: 'must be a message id',
});
export const OperatorName = Type.String({
  pattern: '^[A-Za-z0-9_.-]{1,64}$',
  description: 'the operator that carried it',
  example: 'MCI',
  error: 'must be the name of an operator',
});
const MessageType = oneOf(['express', 'normal'], {
  error: 'must be express or normal',
});

export const range = {
  from: instantOf('accepted at or after', '2026-11-01'),
  to: instantOf('accepted before', '2026-11-30'),
};

export const filterFields = {
  status: Type.Optional(oneOf(STATUSES, { error: `must be one of ${STATUSES.join(', ')}` })),
  type: Type.Optional(MessageType),
  operator: Type.Optional(OperatorName),
  phone: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      description: 'in any usual spelling',
      example: '09121234567',
      error: 'must be an Iranian mobile number',
    }),
  ),
  batch: Type.Optional(Type.String({ pattern: uuid, description: 'a batch_id', error: 'must be a batch id' })),
  client_ref: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      description: 'your own reference',
      error: 'must be 1 to 64 characters',
    }),
  ),
  ...range,
};
const FilterQuery = Type.Object(filterFields);

export type Filter = {
  status?: (typeof STATUSES)[number];
  type?: 'express' | 'normal';
  operator?: string;
  phone?: string;
  batch?: string;
  client_ref?: string;
  /** Epoch milliseconds. */
  fromMs: number | null;
  /** Epoch milliseconds, exclusive. */
  toMs: number | null;
};

const refuse = (fields: FieldError[]): never => {
  throw new AppError('invalid_request', 'The request does not fit its schema.', { fields });
};

/** An instant, or the day that a date names; null when it is in no calendar. */
function readInstant(text: string): { ms: number } | { day: string } | null {
  const date = text.slice(0, 10);
  if (!isDay(date)) return null;
  if (text.length === 10) return { day: date };
  // A plus sign in a query arrives as a blank.
  const ms = Date.parse(text.replace(' ', '+'));
  return Number.isNaN(ms) || ms < 0 ? null : { ms };
}

/**
 * Reads `from` and `to` into instants; a date as `to` includes its day.
 * @throws AppError `invalid_request`
 */
export async function readRange(
  { sql, timeZone }: Store,
  query: { from?: string; to?: string },
): Promise<{ fromMs: number | null; toMs: number | null }> {
  const msOf = async (field: 'from' | 'to'): Promise<number | null> => {
    const text = query[field];
    if (text === undefined) return null;
    const instant = readInstant(text) ?? refuse([{ field, detail: 'must be an instant of the calendar' }]);
    if ('ms' in instant) return instant.ms;
    const day = sql`(${instant.day}::date + ${field === 'to' ? 1 : 0}::int)`;
    const [row] = await sql<{ ms: number }[]>`SELECT ${dayStartMs(sql, day, timeZone)} AS ms`;
    return (row as { ms: number }).ms;
  };
  const fromMs = await msOf('from');
  const toMs = await msOf('to');
  if (fromMs !== null && toMs !== null && fromMs > toMs) refuse([{ field: 'to', detail: 'must not be before from' }]);
  return { fromMs, toMs };
}

/** Reads a report's query. Throws `invalid_request`. */
export async function readFilter(store: Store, query: Static<typeof FilterQuery>): Promise<Filter> {
  const { from: _from, to: _to, phone, ...rest } = query;
  const e164 = phone === undefined ? undefined : parsePhone(phone);
  if (e164 === null) refuse([{ field: 'phone', detail: 'must be an Iranian mobile number' }]);
  return { ...rest, ...(e164 ? { phone: e164 } : {}), ...(await readRange(store, query)) };
}

/** The conditions of a filter, besides the account's. */
export function conditionsOf(userId: string, filter: Filter, beforeId?: string): SQL | undefined {
  const { status, type, operator, phone, batch, client_ref, fromMs, toMs } = filter;
  return and(
    eq(messages.user_id, userId),
    status ? eq(messages.status, status) : undefined,
    type ? eq(messages.type, type) : undefined,
    operator ? eq(messages.operator, operator) : undefined,
    phone ? eq(messages.phone, phone) : undefined,
    batch ? eq(messages.batch_id, batch) : undefined,
    client_ref ? eq(messages.client_ref, client_ref) : undefined,
    fromMs === null ? undefined : gte(messages.id, firstId(fromMs)),
    toMs === null ? undefined : lt(messages.id, firstId(toMs)),
    beforeId ? lt(messages.id, beforeId) : undefined,
  );
}

export type WholeDays = {
  /** The first and, exclusive, the last day that lie wholly inside the range; null: unbounded. */
  first: string | null;
  last: string | null;
  /** What the range has besides its whole days, as instants [from, to). */
  edges: [number, number][];
};

/** Splits a range into whole days, which the totals know, and what is left at its ends. */
export async function wholeDays(
  tx: Sql,
  timeZone: string,
  { fromMs, toMs }: { fromMs: number | null; toMs: number | null },
): Promise<WholeDays> {
  if (fromMs === null && toMs === null) return { first: null, last: null, edges: [] };
  const startOf = (day: SqlFragment) => dayStartMs(tx, day, timeZone);
  const [row] = await tx<{ first: string; first_ms: number; last: string; last_ms: number }[]>`
    WITH asked AS (
      SELECT ${dayOf(tx, fromMs ?? 0, timeZone)} AS begins, ${dayOf(tx, toMs ?? 0, timeZone)} AS last
    ), days AS (
      SELECT CASE WHEN ${startOf(tx`begins`)} >= ${fromMs ?? 0}::float8 THEN begins ELSE begins + 1 END AS first, last FROM asked
    )
    SELECT first::text, last::text, ${startOf(tx`first`)} AS first_ms, ${startOf(tx`last`)} AS last_ms FROM days`;
  const { first, first_ms, last, last_ms } = row as { first: string; first_ms: number; last: string; last_ms: number };
  if (fromMs !== null && toMs !== null && first_ms > last_ms) return { first, last: first, edges: [[fromMs, toMs]] };
  const edges: [number, number][] = [];
  if (fromMs !== null && fromMs < first_ms) edges.push([fromMs, first_ms]);
  if (toMs !== null && last_ms < toMs) edges.push([last_ms, toMs]);
  return { first: fromMs === null ? null : first, last: toMs === null ? null : last, edges };
}
