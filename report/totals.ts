/** An account in PostgreSQL: what it topped up and what it spent, by day and in all. */
import { AppError } from '../shared/error.ts';
import { TOPICS } from '../shared/topics.ts';
import { isDay } from './calendar.ts';
import { wholeDays } from './filter.ts';
import { firstId } from './partitions.ts';
import { atOneInstant, badCursor, decodeCursor, encodeCursor, type Store } from './store.ts';
import { readOffsets, type Watermark } from './watermark.ts';

/** PostgreSQL's side of billing's audit, with how far it has read. */
export async function readTotals(store: Store, watermark: Watermark, userId: string) {
  const { offsets, ...sums } = await atOneInstant(store, async ({ sql: tx }) => {
    const [row] = await tx<{ topped_up: number; posted: number }[]>`
      SELECT (SELECT coalesce(sum(amount), 0) FROM ledger_totals WHERE user_id = ${userId})::float8 AS topped_up,
        (SELECT coalesce(sum(posted), 0) FROM daily_totals WHERE user_id = ${userId})::float8 AS posted`;
    return { ...(row as { topped_up: number; posted: number }), offsets: await readOffsets(tx) };
  });
  const read = await watermark.of([TOPICS.status, TOPICS.ledger], offsets);
  if (read === null) throw new AppError('unavailable', 'Kafka does not tell how much is still to be read; ask again.');
  return {
    user_id: userId,
    ...sums,
    watermark: {
      records_behind: read.recordsBehind,
      read_until: read.readUntilMs === null ? null : new Date(read.readUntilMs).toISOString(),
    },
  };
}

type SummaryRow = { day: string; operator: string; type: string | null; messages: number; pages: number; cost: number };

/**
 * Messages, pages and cost by day, operator and type. Whole days come from the totals; where a range begins or ends inside a
 * day, that day is summed from its rows.
 */
export async function readSummary(
  store: Store,
  userId: string,
  range: { fromMs: number | null; toMs: number | null },
  limit: number,
  cursor?: string,
) {
  const beforeDay = cursor === undefined ? null : dayCursor(cursor);
  const items = await atOneInstant(store, async ({ sql: tx }) => {
    const { first, last, edges } = await wholeDays(tx, store.timeZone, range);
    const days = await tx<SummaryRow[]>`
      WITH page AS (
        SELECT DISTINCT day FROM daily_totals
        WHERE user_id = ${userId} AND messages <> 0 AND day < ${beforeDay ?? 'infinity'}::date
          AND day >= ${first ?? '-infinity'}::date AND day < ${last ?? 'infinity'}::date
        ORDER BY day DESC LIMIT ${limit + 1}
      )
      SELECT day::text, operator, nullif(type, '') AS type, sum(messages)::float8 AS messages, sum(pages)::float8 AS pages,
        sum(posted)::float8 AS cost
      FROM daily_totals JOIN page USING (day) WHERE user_id = ${userId}
      GROUP BY day, operator, type HAVING sum(messages) <> 0 ORDER BY day DESC, operator, type`;
    const parts: SummaryRow[][] = [days];
    for (const [fromMs, toMs] of edges) {
      parts.push(
        await tx<SummaryRow[]>`
          SELECT * FROM (
            SELECT (created_at AT TIME ZONE ${store.timeZone})::date::text AS day, operator, type, count(*)::float8 AS messages,
              coalesce(sum(pages), 0)::float8 AS pages, sum(posted)::float8 AS cost
            FROM messages WHERE user_id = ${userId} AND id >= ${firstId(fromMs)} AND id < ${firstId(toMs)}
            GROUP BY 1, 2, 3
          ) AS edge WHERE day < ${beforeDay ?? '9999-12-31'} ORDER BY day DESC, operator, type`,
      );
    }
    return parts.flat().sort((a, b) => (a.day < b.day ? 1 : a.day > b.day ? -1 : 0));
  });
  const days = [...new Set(items.map(({ day }) => day))];
  const shown = new Set(days.slice(0, limit));
  const page = items.filter(({ day }) => shown.has(day));
  const total = { messages: 0, pages: 0, cost: 0 };
  for (const { messages, pages, cost } of page) {
    total.messages += messages;
    total.pages += pages;
    total.cost += cost;
  }
  return {
    user_id: userId,
    time_zone: store.timeZone,
    items: page,
    total,
    next_cursor: days.length > limit ? encodeCursor([days[limit - 1] as string]) : null,
  };
}

function dayCursor(cursor: string): string {
  const [day] = decodeCursor(cursor, 1);
  if (typeof day !== 'string' || !isDay(day)) throw badCursor();
  return day;
}
