/** An account's report: a page of it, newest first, and its counts by status. */
import { and, desc, eq, gte, lt } from 'drizzle-orm';
import { AppError } from '../shared/error.ts';
import { idTimeMs } from '../shared/id.ts';
import type { Sql } from '../shared/postgres.ts';
import { dayOf, dayStartMs } from './calendar.ts';
import { conditionsOf, type Filter, STATUSES, wholeDays } from './filter.ts';
import { type ItemRow, itemColumns, itemOf } from './item.ts';
import { droppedBefore, firstId } from './partitions.ts';
import { exceptions, isException, messages } from './schema.ts';
import { atOneInstant, decodeIdCursor, idCursor, type Store } from './store.ts';

/** Few messages have what it asks for, and an index of their own finds them. */
const isNarrow = ({ phone, batch, client_ref }: Filter): boolean =>
  phone !== undefined || batch !== undefined || client_ref !== undefined;

/** The filter without the days that the retention dropped: no page shows them, also where one is still to go. */
export async function keptOf(store: Store, filter: Filter): Promise<Filter> {
  const droppedMs = await droppedBefore(store.sql);
  return droppedMs > (filter.fromMs ?? 0) ? { ...filter, fromMs: droppedMs } : filter;
}

/** A page that is not found by then is given up: it has one of the pool's few connections. */
const SEARCH_MS = 8_000;

/**
 * Rows of a filter before an id, newest first. No index knows a type, an operator or the status of most messages, and an account may
 * have millions of others: the totals by day tell which days have how many, and only these are read, each no further than to its last
 * one.
 * @param store one instant of the database: the totals and the rows must agree
 * @throws AppError `unavailable` where it takes too long
 */
export async function readRows(
  store: Store,
  userId: string,
  filter: Filter,
  limit: number,
  beforeId?: string,
): Promise<ItemRow[]> {
  const { status, type, operator, fromMs, toMs } = filter;
  if (isNarrow(filter) || isException(status) || (status ?? type ?? operator) === undefined)
    return readRange(store, userId, filter, limit, beforeId);
  const rows: ItemRow[] = [];
  const until = performance.now() + SEARCH_MS;
  for (const day of await daysOf(store, userId, filter, beforeId)) {
    if (performance.now() > until)
      throw new AppError('unavailable', 'This finds too few among too many; narrow it by from and to.');
    const within = { ...filter, fromMs: Math.max(fromMs ?? 0, day.from), toMs: Math.min(toMs ?? day.to, day.to) };
    const most = Math.min(limit - rows.length, day.messages);
    rows.push(...(await readRange(store, userId, within, most, beforeId)));
    if (rows.length >= limit) break;
  }
  return rows;
}

/** The days of a filter that have any, up to that of an id, newest first, as instants [from, to). */
function daysOf({ sql, timeZone }: Store, userId: string, filter: Filter, beforeId: string | undefined) {
  const { status, type, operator, fromMs, toMs } = filter;
  const lastMs = beforeId === undefined ? toMs : Math.min(idTimeMs(beforeId), toMs ?? Number.POSITIVE_INFINITY);
  return sql<{ from: number; to: number; messages: number }[]>`
    SELECT ${dayStartMs(sql, sql`day`, timeZone)} AS from, ${dayStartMs(sql, sql`(day + 1)`, timeZone)} AS to,
      sum(messages)::float8 AS messages
    FROM daily_totals
    WHERE user_id = ${userId}
      ${fromMs === null ? sql`` : sql`AND day >= ${dayOf(sql, fromMs, timeZone)}`} ${lastMs === null ? sql`` : sql`AND day <= ${dayOf(sql, lastMs, timeZone)}`}
      ${status ? sql`AND status = ${status}` : sql``}
      ${operator ? sql`AND operator = ${operator}` : sql``}
      ${type ? sql`AND type = ${type}` : sql``}
    GROUP BY day HAVING sum(messages) > 0 ORDER BY day DESC`;
}

/** Rows of a range. A status that few messages have is looked for among the exceptions. */
function readRange(
  store: Store,
  userId: string,
  filter: Filter,
  limit: number,
  beforeId: string | undefined,
): Promise<ItemRow[]> {
  const { status } = filter;
  const conditions = conditionsOf(userId, filter, beforeId);
  if (isNarrow(filter) || status === undefined || !isException(status)) {
    return store.db.select(itemColumns).from(messages).where(conditions).orderBy(desc(messages.id)).limit(limit);
  }
  const { fromMs, toMs } = filter;
  return store.db
    .select(itemColumns)
    .from(exceptions)
    .innerJoin(messages, eq(messages.id, exceptions.id))
    .where(
      and(
        eq(exceptions.user_id, userId),
        eq(exceptions.status, status),
        fromMs === null ? undefined : gte(exceptions.id, firstId(fromMs)),
        toMs === null ? undefined : lt(exceptions.id, firstId(toMs)),
        beforeId ? lt(exceptions.id, beforeId) : undefined,
        conditions,
      ),
    )
    .orderBy(desc(exceptions.id))
    .limit(limit);
}

/**
 * A page of a report. A message that was accepted meanwhile comes before the first page, so that pages have no gaps and no
 * repeats.
 */
export async function readPage(store: Store, userId: string, filter: Filter, limit: number, cursor?: string) {
  const from = cursor === undefined ? undefined : decodeIdCursor(cursor);
  // One snapshot: a page never shows a message that its counts do not count.
  const [rows, counts] = await atOneInstant(store, async (frozen) => {
    const kept = await keptOf(frozen, filter);
    return [await readRows(frozen, userId, kept, limit + 1, from), await readCounts(frozen, userId, kept)] as const;
  });
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    user_id: userId,
    items: page.map(itemOf),
    counts,
    next_cursor: rows.length > limit && last ? idCursor(last.id) : null,
  };
}

export type Counts = Record<(typeof STATUSES)[number], number>;

/**
 * How many messages of each status there are under the filter (its own status aside). The totals by day know it; only the
 * ends of a range that begins or ends inside a day, and what one number, batch or reference holds, are counted from rows.
 */
export async function readCounts(store: Store, userId: string, filter: Filter): Promise<Counts> {
  const counts = Object.fromEntries(STATUSES.map((status) => [status, 0])) as Counts;
  const add = (rows: readonly { status: string; count: number }[]): void => {
    for (const { status, count } of rows) counts[status as keyof Counts] += count;
  };
  if (isNarrow(filter)) {
    add(await countRows(store.sql, userId, filter, filter.fromMs, filter.toMs));
    return counts;
  }
  const { first, last, edges } = await wholeDays(store.sql, store.timeZone, filter);
  const { sql } = store;
  add(
    await sql<{ status: string; count: number }[]>`
      SELECT status, sum(messages)::float8 AS count FROM daily_totals
      WHERE user_id = ${userId} AND day >= ${first ?? '-infinity'}::date AND day < ${last ?? 'infinity'}::date
        ${filter.operator ? sql`AND operator = ${filter.operator}` : sql``}
        ${filter.type ? sql`AND type = ${filter.type}` : sql``}
      GROUP BY status`,
  );
  for (const [fromMs, toMs] of edges) add(await countRows(sql, userId, filter, fromMs, toMs));
  return counts;
}

function countRows(sql: Sql, userId: string, filter: Filter, fromMs: number | null, toMs: number | null) {
  return sql<{ status: string; count: number }[]>`
    SELECT status, count(*)::float8 AS count FROM messages
    WHERE user_id = ${userId}
      ${fromMs === null ? sql`` : sql`AND id >= ${firstId(fromMs)}`} ${toMs === null ? sql`` : sql`AND id < ${firstId(toMs)}`}
      ${filter.operator ? sql`AND operator = ${filter.operator}` : sql``}
      ${filter.type ? sql`AND type = ${filter.type}` : sql``}
      ${filter.phone ? sql`AND phone = ${filter.phone}` : sql``}
      ${filter.batch ? sql`AND batch_id = ${filter.batch}` : sql``}
      ${filter.client_ref ? sql`AND client_ref = ${filter.client_ref}` : sql``}
    GROUP BY status`;
}
