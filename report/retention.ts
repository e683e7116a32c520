/** Once an hour: the days ahead are made, and what is past its retention goes. Sums by day stay for ever. */
import { errorFields, type Log } from '../shared/log.ts';
import type { Sql } from '../shared/postgres.ts';
import { type Days, dropDays, droppedBefore, firstId } from './partitions.ts';

const EVERY_MS = 3_600_000;
const DAY_MS = 86_400_000;
const DAYS_AHEAD = 2;

export type Retention = { messagesDays: number; deadLetterDays: number; receiptsDays: number };
type Deps = {
  sql: Sql;
  days: Days;
  timeZone: string;
  retention: Retention;
  now: () => number;
  onUnmatched: (operator: string, count: number) => void;
  log: Log;
};

/** One round; safe in several replicas at once. */
export async function retain({ sql, days, timeZone, retention, now, onUnmatched, log }: Deps): Promise<void> {
  const nowMs = now();
  await days.ensure(Array.from({ length: DAYS_AHEAD + 1 }, (_, i) => nowMs + i * DAY_MS));
  const dropped = await dropDays(sql, timeZone, retention, nowMs);
  if (dropped.length > 0) {
    days.forget();
    log.info('days_dropped', { partitions: dropped });
  }
  const gone = await droppedBefore(sql);
  await sql`DELETE FROM exceptions WHERE id < ${firstId(gone)}`;
  const before = (daysAgo: number): string => new Date(nowMs - daysAgo * DAY_MS).toISOString();
  await sql`DELETE FROM dead_letters WHERE died_at < ${before(retention.deadLetterDays)}::text::timestamptz`;
  await sql`DELETE FROM poison_records WHERE at < ${before(retention.deadLetterDays)}::text::timestamptz`;
  const unmatched = await sql<{ operator: string; count: number }[]>`
    WITH gone AS (
      DELETE FROM receipts_waiting WHERE received_at < ${before(retention.receiptsDays)}::text::timestamptz RETURNING operator)
    SELECT operator, count(*)::float8 AS count FROM gone GROUP BY operator`;
  for (const { operator, count } of unmatched) onUnmatched(operator, count);
  // What messages passed through on their way; a status that comes back makes its row again.
  await sql`DELETE FROM daily_totals WHERE messages = 0 AND pages = 0 AND price = 0 AND posted = 0
    AND day < ${before(2)}::text::timestamptz::date`;
}

export function startRetention(deps: Deps): { close(): void } {
  const round = (): Promise<void> =>
    retain(deps).catch((thrown) => deps.log.warn('retention_failed', errorFields(thrown)));
  const timer = setInterval(() => void round(), EVERY_MS);
  void round();
  return { close: () => clearInterval(timer) };
}
