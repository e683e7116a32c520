/** Millions of rows for the report, made by PostgreSQL itself: what months of traffic leave behind. */
import { Stopped } from '../local/wait.ts';
import { createDays } from '../report/partitions.ts';
import type { Bench } from './bench.ts';

const DAYS = 30;
const DAY_MS = 86_400_000;
const ACCOUNTS = 100;
/** Of this many rows one belongs to the large account. */
const LARGE_EVERY = 5;
const TIME_ZONE = 'Asia/Tehran';
const CHUNK = 50_000;
const TELL_EVERY = 1_000_000;
const WRITERS = 2;

export const LARGE_ACCOUNT = 'archive-000';
export const archiveAccount = (n: number): string => `archive-${String(n % ACCOUNTS).padStart(3, '0')}`;
/** One of every so many of its rows went to this number. */
export const ARCHIVE_PHONE = '+989120000000';

/**
 * Row `i` of `$2`, at even distances over the days before `$1` (epoch ms). Its id is a UUIDv7 of its instant, so that it lies in
 * its day's partition; its content is what the report writes for a message that was sent, or that failed.
 */
const INSERT = `
INSERT INTO messages (id, user_id, phone, text, type, lane, sender, encoding, pages, price, routed, status, version, operator,
  attempts, posted, error, operator_ids, history, created_at, updated_at)
SELECT (substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-7' || substr(hash, 1, 3) || '-8' || substr(hash, 4, 3) || '-' || substr(hash, 7, 12))::uuid,
  CASE WHEN i % ${LARGE_EVERY} = 0 THEN '${LARGE_ACCOUNT}' ELSE 'archive-' || lpad((1 + i % ${ACCOUNTS - 1})::text, 3, '0') END,
  '+98912' || lpad((i % 1000000)::text, 7, '0'), 'کد تایید: ' || i, type, type::text::message_lane, '10001234', 'ucs2', 1, 890, operator,
  status::message_status, 1, operator, 1, CASE WHEN status = 'failed' THEN 0 ELSE 890 END,
  CASE WHEN status = 'failed' THEN 'http_400' END, ARRAY[i::text],
  jsonb_build_object('1', jsonb_build_object('s', status, 'a', 1, 'o', operator, 'at', ms)),
  to_timestamp(ms / 1000.0), to_timestamp(ms / 1000.0 + 1)
FROM (
  SELECT i, ms, lpad(to_hex(ms), 12, '0') AS hex, md5(i::text) AS hash,
    (CASE WHEN i % 4 = 0 THEN 'express' ELSE 'normal' END)::message_type AS type,
    (ARRAY['MCI', 'MTN', 'Rightel'])[1 + i % 3] AS operator,
    CASE WHEN i % 50 = 0 THEN 'failed' WHEN i % 2 = 0 THEN 'delivered' ELSE 'sent' END AS status
  FROM (
    SELECT i, ($1::float8 + i::float8 * ${DAYS * DAY_MS} / $2::float8)::bigint AS ms
    FROM generate_series($3::bigint, $4::bigint) AS i
  ) AS instants
) AS rows`;

/** Sums the archive as the report's own writes would have. */
const TOTALS = `
INSERT INTO daily_totals (user_id, day, operator, type, status, messages, pages, price, posted)
SELECT user_id, (created_at AT TIME ZONE '${TIME_ZONE}')::date, operator, type::text, status, count(*), sum(pages), sum(price), sum(posted)
FROM messages WHERE user_id LIKE 'archive-%' GROUP BY 1, 2, 3, 4, 5`;

/** Writes `rows` messages of many accounts over the last thirty days, their totals, and what the planner must know. */
export async function writeArchive({ sql, signal, say }: Bench, rows: number): Promise<void> {
  const from = Date.now() - DAYS * DAY_MS;
  const days = createDays(sql, TIME_ZONE);
  await days.ensure(Array.from({ length: DAYS + 1 }, (_, day) => from + day * DAY_MS));
  let next = 0;
  let told = 0;
  const write = async (): Promise<void> => {
    const connection = await sql.reserve();
    try {
      await connection`SET synchronous_commit = off`;
      while (next < rows) {
        if (signal.aborted) throw new Stopped();
        const first = next;
        next += CHUNK;
        await connection.unsafe(INSERT, [from, rows, first, Math.min(first + CHUNK, rows) - 1]);
        if (next - told < TELL_EVERY) continue;
        told = next;
        say(`  ${told} rows`);
      }
      await connection`SET synchronous_commit = on`;
    } finally {
      connection.release();
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, write));
  await sql.unsafe(TOTALS);
  await sql.unsafe('VACUUM (ANALYZE) messages');
  await sql.unsafe('ANALYZE daily_totals');
}
