/**
 * The days of `messages` and `operator_ids`. A day begins at midnight in REPORT_TIME_ZONE, so that a partition is exactly one
 * day of the summaries; PostgreSQL alone decides where a day begins. Days are made ahead, and on demand when a topic that is
 * read again brings old ones. A partition is attached, not created in place: that takes no lock that readers or writers meet.
 */
import type { Sql } from '../shared/postgres.ts';
import { dayOf, dayStartMs } from './calendar.ts';

/** Held in a transaction by whoever makes or drops days: one at a time over all replicas. */
const DAYS_LOCK = 7_265_001;
const DAY_MS = 86_400_000;

type Day = { name: string; from: number; to: number };

export type Days = {
  /** Makes the days of these instants (epoch ms) where they are missing; answers the instant before which days were dropped. */
  ensure(instants: Iterable<number>): Promise<number>;
  /** The day of an instant (epoch ms) that was made sure of, as YYYY-MM-DD. */
  nameOf(ms: number): string;
  /** Forgets what it knew: another replica dropped a day. */
  forget(): void;
};

/** The least id of an instant: the ids of a day are those from its midnight's on, before the next one's. */
export function firstId(ms: number): string {
  const time = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`;
}

const suffix = (day: string): string => day.replaceAll('-', '');

async function readDay(sql: Sql, timeZone: string, ms: number): Promise<Day> {
  const [row] = await sql<{ name: string; from: number; to: number }[]>`
    SELECT day::text AS name,
      ${dayStartMs(sql, sql`day`, timeZone)} AS from, ${dayStartMs(sql, sql`(day + 1)`, timeZone)} AS to
    FROM (SELECT ${dayOf(sql, ms, timeZone)} AS day) AS d`;
  return row as Day;
}

/** The partition of a table for a day; exists afterwards. Inside a transaction that holds DAYS_LOCK. */
async function attach(tx: Sql, table: string, day: Day, storage: string): Promise<void> {
  const name = `${table}_${suffix(day.name)}`;
  const [found] = await tx`SELECT to_regclass(${name}) IS NOT NULL AS there`;
  if (found?.there) return;
  await tx.unsafe(`CREATE TABLE ${name} (LIKE ${table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) ${storage}`);
  await tx.unsafe(
    `ALTER TABLE ${table} ATTACH PARTITION ${name} FOR VALUES FROM ('${firstId(day.from)}') TO ('${firstId(day.to)}')`,
  );
}

/** The instant before which days were dropped; 0 while none was. */
export async function droppedBefore(sql: Sql): Promise<number> {
  const [row] = await sql<{ value: string }[]>`SELECT value FROM report_state WHERE key = 'dropped_before_ms'`;
  return Number(row?.value ?? 0);
}

export function createDays(sql: Sql, timeZone: string): Days {
  let known: Day[] = [];
  let dropped: number | null = null;
  const holds = (day: Day, ms: number): boolean => ms >= day.from && ms < day.to;
  const find = (ms: number): Day | undefined => known.find((day) => holds(day, ms));

  const make = async (ms: number): Promise<void> => {
    const day = await readDay(sql, timeZone, ms);
    const droppedMs = await sql.begin(async (tx) => {
      await tx`SELECT pg_advisory_xact_lock(${DAYS_LOCK})`;
      const before = await droppedBefore(tx as unknown as Sql);
      if (ms < before) return before;
      // Room for the later versions of each row on its own page: then an update touches no index.
      await attach(tx as unknown as Sql, 'messages', day, 'WITH (fillfactor = 50)');
      await attach(tx as unknown as Sql, 'operator_ids', day, '');
      return before;
    });
    dropped = droppedMs;
    if (ms >= droppedMs) known = [...known, day].sort((a, b) => b.from - a.from);
  };

  return {
    ensure: async (instants) => {
      dropped ??= await droppedBefore(sql);
      let last: Day | undefined;
      for (const ms of instants) {
        if (ms < dropped || (last && holds(last, ms))) continue;
        last = find(ms);
        if (!last) await make(ms);
      }
      return dropped;
    },
    nameOf: (ms) => {
      const day = find(ms);
      if (!day) throw new Error('the day of an instant was not made sure of');
      return day.name;
    },
    forget: () => {
      known = [];
      dropped = null;
    },
  };
}

/** Drops what is older than the retention. Readers are waited for at most a second: then it is left for the next time. */
export async function dropDays(
  sql: Sql,
  timeZone: string,
  retention: { messagesDays: number; receiptsDays: number },
  nowMs: number,
): Promise<string[]> {
  const droppedNames: string[] = [];
  for (const [table, days] of [
    ['messages', retention.messagesDays],
    ['operator_ids', retention.receiptsDays],
  ] as const) {
    const { name: first, from } = await readDay(sql, timeZone, nowMs - days * DAY_MS);
    const partitions = await sql<{ name: string }[]>`
      SELECT relname AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
      WHERE inhparent = ${table}::regclass AND relname < ${`${table}_${suffix(first)}`} ORDER BY relname`;
    for (const { name } of partitions) {
      await sql.begin(async (tx) => {
        await tx`SET LOCAL lock_timeout = '1s'`;
        await tx`SELECT pg_advisory_xact_lock(${DAYS_LOCK})`;
        // The sums by day are not touched: they are the rows' fold since each was written. From here on no event may bring a
        // dropped day back, or it would count twice.
        if (table === 'messages') {
          await tx`INSERT INTO report_state (key, value) VALUES ('dropped_before_ms', ${String(from)})
            ON CONFLICT (key) DO UPDATE SET value = greatest(report_state.value::bigint, excluded.value::bigint)::text`;
        }
        await tx.unsafe(`DROP TABLE IF EXISTS ${name}`);
      });
      droppedNames.push(name);
    }
  }
  return droppedNames;
}
