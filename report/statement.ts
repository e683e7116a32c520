/**
 * An account's statement, newest first: each top-up and correction, and what was spent on the messages of each day. After each
 * item stands what was left then: top-ups and corrections less spending, which is what billing calls available and held
 * together. Spending belongs to the day of its message, whole, at that day's end.
 */

import { isId } from '../shared/id.ts';
import type { Sql } from '../shared/postgres.ts';
import { isDay } from './calendar.ts';
import { atOneInstant, badCursor, decodeCursor, encodeCursor, type Store } from './store.ts';

type Line = {
  day: string;
  /** Epoch milliseconds; null for a day's spending. */
  at_ms: number | null;
  transaction_id: string | null;
  kind: 'topup' | 'adjust' | 'spending';
  amount: number;
  reason: string | null;
  messages: number | null;
};

/** A day's spending is its last line. */
const SPENDING = { at_ms: Number.MAX_SAFE_INTEGER, transaction_id: 'ffffffff-ffff-ffff-ffff-ffffffffffff' };

type Place = { day: string; atMs: number; transactionId: string };

function placeOf(cursor: string): Place {
  const [day, atMs, transactionId] = decodeCursor(cursor, 3);
  const fits =
    typeof day === 'string' &&
    isDay(day) &&
    Number.isSafeInteger(atMs) &&
    typeof transactionId === 'string' &&
    (isId(transactionId) || transactionId === SPENDING.transaction_id);
  if (!fits) throw badCursor();
  return { day, atMs: atMs as number, transactionId };
}

const placeAfter = ({ day, at_ms, transaction_id }: Line): Place => ({
  day,
  atMs: at_ms ?? SPENDING.at_ms,
  transactionId: transaction_id ?? SPENDING.transaction_id,
});

/** The lines after a place, newest first. */
function readLines(tx: Sql, userId: string, after: Place | null, limit: number) {
  const day = after?.day ?? 'infinity';
  return tx<Line[]>`
    SELECT day::text, at_ms, transaction_id, kind, amount, reason, messages FROM (
      (SELECT day, (extract(epoch FROM at) * 1000)::float8 AS at_ms, transaction_id, kind, amount::float8, reason,
        NULL::float8 AS messages
      FROM ledger_entries WHERE user_id = ${userId} AND day <= ${day}::date
        ${after ? tx`AND (day, at, transaction_id) < (${after.day}::date, to_timestamp(${after.atMs}::float8 / 1000), ${after.transactionId}::uuid)` : tx``}
      ORDER BY day DESC, at DESC, transaction_id DESC LIMIT ${limit})
      UNION ALL
      (SELECT day, NULL, NULL, 'spending', -sum(posted)::float8, NULL, sum(messages) FILTER (WHERE posted <> 0)::float8
      FROM daily_totals WHERE user_id = ${userId} AND day < ${day}::date
      GROUP BY day HAVING sum(posted) <> 0 ORDER BY day DESC LIMIT ${limit})
    ) AS lines
    ORDER BY day DESC, at_ms DESC NULLS FIRST, transaction_id DESC LIMIT ${limit}`;
}

/** What an account had after everything older than a place: Rials. */
async function balanceBefore(tx: Sql, userId: string, { day, atMs, transactionId }: Place): Promise<number> {
  const [row] = await tx<{ balance: number }[]>`
    SELECT (
      coalesce((SELECT sum(amount) FROM ledger_totals WHERE user_id = ${userId} AND day < ${day}::date), 0)
      + coalesce((SELECT sum(amount) FROM ledger_entries WHERE user_id = ${userId} AND day = ${day}::date
          AND (at, transaction_id) < (to_timestamp(${atMs}::float8 / 1000), ${transactionId}::uuid)), 0)
      - coalesce((SELECT sum(posted) FROM daily_totals WHERE user_id = ${userId} AND day < ${day}::date), 0)
    )::float8 AS balance`;
  return (row as { balance: number }).balance;
}

/**
 * A page of the statement with running balances.
 * @throws AppError `invalid_request` for a cursor that is none of this list's
 */
export async function readStatement(store: Store, userId: string, limit: number, cursor?: string) {
  const after = cursor === undefined ? null : placeOf(cursor);
  return atOneInstant(store, async ({ sql: tx }) => {
    const lines = await readLines(tx, userId, after, limit + 1);
    const page = lines.slice(0, limit);
    const last = page.at(-1);
    let balance = last ? await balanceBefore(tx, userId, placeAfter(last)) : 0;
    const items = page
      .reverse()
      .map(({ at_ms, day, kind, amount, reason, transaction_id, messages }) => {
        balance += amount;
        const at = at_ms === null ? null : new Date(at_ms).toISOString();
        return { day, at, kind, amount, balance_after: balance, transaction_id, reason, messages };
      })
      .reverse();
    const [totals] = await tx<{ topped_up: number; spent: number }[]>`
      SELECT (SELECT coalesce(sum(amount), 0) FROM ledger_totals WHERE user_id = ${userId})::float8 AS topped_up,
        (SELECT coalesce(sum(posted), 0) FROM daily_totals WHERE user_id = ${userId})::float8 AS spent`;
    const { topped_up, spent } = totals as { topped_up: number; spent: number };
    const end = last ? placeAfter(last) : null;
    return {
      user_id: userId,
      time_zone: store.timeZone,
      totals: { topped_up, spent, balance: topped_up - spent },
      items,
      next_cursor: lines.length > limit && end ? encodeCursor([end.day, end.atMs, end.transactionId]) : null,
    };
  });
}
