/** Days as texts, such as 2026-11-23, and as instants of the account books' time zone. */
import type { Sql, SqlFragment } from '../shared/postgres.ts';

const DAY = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/;

/** Whether PostgreSQL's calendar has this day: it has no 30th of February, and no year 0. */
export function isDay(text: string): boolean {
  if (!DAY.test(text) || text.startsWith('0000')) return false;
  const utc = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(utc.getTime()) && utc.toISOString().slice(0, 10) === text;
}

/** The SQL of the day that an instant is of. */
export const dayOf = (sql: Sql, ms: number, timeZone: string): SqlFragment =>
  sql`(to_timestamp(${ms}::float8 / 1000) AT TIME ZONE ${timeZone})::date`;

/**
 * The SQL of the instant at which a day begins, epoch milliseconds. Where clocks go back over midnight (Havana, the Azores) a day has
 * two of them, of which PostgreSQL by itself answers the second: the hour before would be no day's.
 * @param day SQL of a date
 */
export function dayStartMs(sql: Sql, day: SqlFragment, timeZone: string): SqlFragment {
  const start = sql`(${day}::timestamp AT TIME ZONE ${timeZone})`;
  const hourBefore = sql`(${start} - interval '1 hour')`;
  return sql`(extract(epoch FROM
    CASE WHEN ${hourBefore} AT TIME ZONE ${timeZone} = ${day}::timestamp THEN ${hourBefore} ELSE ${start} END) * 1000)::float8`;
}
