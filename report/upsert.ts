/**
 * The hot statement: patches of messages into their rows, the totals by day moved by exact differences, and the
 * exceptions kept, all in one.
 *
 * Arguments: for each shape (patch-columns.ts) one array a column, one element a patch, each id in one shape and once, in the order of
 * ids, so that two writers lock rows alike; then the time zone of the days; last what copied rows add to the totals. Answers nothing.
 *
 * Forward only, as fold.ts has it: a decision is taken over when the row's is not final and the new one is, or has the higher
 * version (the enum's order is the rank). `status` is what is shown: the decision and, once sent, what the receipts say. What
 * loses goes to `history`. A patch that tells nothing new writes nothing. RETURNING cannot tell the former values before
 * PostgreSQL 18, so that the row keeps them in prev_*: what it counted for before is taken off the totals, what it counts for
 * now is added.
 */
import type { Sql } from '../shared/postgres.ts';
import { kindOf, textArray } from './column-kinds.ts';
import type { DayCount } from './copy.ts';
import type { Patch } from './fold.ts';
import { argumentOf, type Column, DECIDED, QUEUED, SHAPES, type Shape } from './patch-columns.ts';
import { EXCEPTIONS } from './schema.ts';

const NEXT = `CASE WHEN excluded.status >= 'delivered' THEN 'sent'::message_status ELSE excluded.status END`;
const WINS = `(m.status < 'sent' AND (excluded.status >= 'sent' OR (excluded.version, excluded.status) > (m.version, m.status)))`;
const OPERATOR_IDS = `CASE WHEN ${WINS} THEN coalesce(excluded.operator_ids, m.operator_ids) ELSE coalesce(m.operator_ids, excluded.operator_ids) END`;
const RECEIPTS = `CASE WHEN excluded.receipts IS NULL THEN m.receipts WHEN m.receipts IS NULL THEN excluded.receipts ELSE excluded.receipts || m.receipts END`;
const step = (row: string, status: string): string =>
  `jsonb_build_object(${row}.version::text, jsms_step(${status}, ${row}.attempts, ${row}.operator, ${row}.posted, ${row}.error, ${row}.decided_at))`;
const HISTORY = `CASE
      WHEN excluded.version = 0 THEN m.history
      WHEN m.version = 0 THEN excluded.history
      WHEN m.version = excluded.version AND excluded.history IS NULL THEN m.history
      ELSE nullif((coalesce(excluded.history, '{}') || ${step('excluded', NEXT)} || ${step('m', 'm.status')} || coalesce(m.history, '{}'))
        - (CASE WHEN ${WINS} THEN excluded.version ELSE m.version END)::text, '{}')
      END`;

const names = (columns: readonly Column[]): string => columns.map(({ name }) => name).join(', ');
/** What the totals and the exceptions need of a written row. */
const COUNTED =
  'id, phone, CASE WHEN receipts IS NOT NULL THEN now() END AS receipted_at, user_id, created_at, operator, type, status, pages, price, posted, prev_status, prev_operator, prev_type, prev_posted';
const REMEMBER = `prev_status = m.status, prev_operator = m.operator, prev_type = m.type, prev_posted = m.posted`;
const ADD_QUEUED = QUEUED.map(({ name }) => `${name} = coalesce(m.${name}, excluded.${name})`).join(', ');

/** The `queued` event brings the pages, on which it may depend what the receipts say (fold.ts's expectedParts). */
const MERGE_QUEUED = `SET ${ADD_QUEUED},
    operator = CASE WHEN m.operator = '' THEN excluded.operator ELSE m.operator END,
    status = CASE WHEN m.status = 'sent' AND m.receipts IS NOT NULL
      THEN jsms_shown_status(m.status, m.receipts, jsms_expected_parts(m.flags, m.operator_ids, excluded.pages)) ELSE m.status END,
    updated_at = greatest(m.updated_at, excluded.updated_at), ${REMEMBER}
  WHERE m.type IS NULL`;

const mergeDecided = (withQueued: boolean): string => `SET ${withQueued ? `${ADD_QUEUED}, ` : ''}
    ${DECIDED.map(({ name }) => `${name} = CASE WHEN ${WINS} THEN excluded.${name} ELSE m.${name} END`).join(', ')},
    operator = CASE WHEN (${WINS} AND excluded.operator <> '') OR m.operator = '' THEN excluded.operator ELSE m.operator END,
    operator_ids = ${OPERATOR_IDS}, history = ${HISTORY}, receipts = ${RECEIPTS},
    status = CASE
      WHEN m.status >= 'delivered' THEN m.status
      WHEN m.receipts IS NULL AND excluded.receipts IS NULL THEN CASE WHEN ${WINS} THEN excluded.status ELSE m.status END
      ELSE jsms_shown_status(CASE WHEN ${WINS} THEN ${NEXT} ELSE m.status END, ${RECEIPTS}, jsms_expected_parts(
        CASE WHEN ${WINS} THEN excluded.flags ELSE m.flags END, ${OPERATOR_IDS}, ${withQueued ? 'coalesce(m.pages, excluded.pages)' : 'm.pages'}))
      END,
    updated_at = greatest(m.updated_at, excluded.updated_at), ${REMEMBER}
  WHERE ${WINS}
    ${withQueued ? 'OR m.type IS NULL' : ''}
    OR (${HISTORY}) IS DISTINCT FROM m.history
    OR (excluded.receipts IS NOT NULL AND (m.receipts IS NULL OR (excluded.receipts || m.receipts) <> m.receipts))`;

const MERGES = [MERGE_QUEUED, mergeDecided(false), mergeDecided(true)];

function insertOf({ columns, constants }: Shape, firstArgument: number, merge: string): string {
  const made = columns.map(({ name, kind }) => `${kindOf(kind).made?.(name) ?? name} AS ${name}`).join(', ');
  const args = columns.map(({ kind }, i) => `$${firstArgument + i}::text::${kindOf(kind).argument}[]`).join(', ');
  const patches = `(SELECT ${made} FROM unnest(${args}) AS a (${names(columns)})) AS patch`;
  const into = constants ? `${names(columns)}, ${constants}` : `${names(columns)}) SELECT *`;
  return `INSERT INTO messages AS m (${into} FROM ${patches}
  ON CONFLICT (id) DO UPDATE ${merge}
  RETURNING ${COUNTED}`;
}

const argumentsBefore = (shape: number): number =>
  SHAPES.slice(0, shape).reduce((sum, { columns }) => sum + columns.length, 1);
const ZONE_AT = argumentsBefore(SHAPES.length);
const ZONE = `$${ZONE_AT}::text`;

/** What copied rows (copy.ts) add to the totals: it is moved here, so that a transaction moves its sums once and in one order. */
const COPIED: Readonly<Record<keyof DayCount, string>> = {
  user_id: 'text',
  day: 'date',
  operator: 'text',
  type: 'message_type',
  status: 'message_status',
  messages: 'bigint',
  pages: 'bigint',
  price: 'bigint',
  posted: 'bigint',
};
const COPIED_COLUMNS = Object.keys(COPIED) as (keyof DayCount)[];
const COPIED_ARGUMENTS = COPIED_COLUMNS.map((name, i) => `$${ZONE_AT + 1 + i}::text::${COPIED[name]}[]`).join(', ');

const EXCEPTIONAL = EXCEPTIONS.map((status) => `'${status}'`).join(', ');

const UPSERT = `WITH
${SHAPES.map((shape, i) => `written_${i} AS (${insertOf(shape, argumentsBefore(i), MERGES[i] as string)})`).join(',\n')},
written AS (${SHAPES.map((_, i) => `SELECT * FROM written_${i}`).join(' UNION ALL ')}),
settled AS (
  DELETE FROM exceptions e USING written w
  WHERE e.id = w.id AND w.prev_status IN (${EXCEPTIONAL}) AND w.status NOT IN (${EXCEPTIONAL})
),
excepted AS (
  INSERT INTO exceptions AS e (id, user_id, status, operator, phone, receipted_at)
  SELECT id, user_id, status, operator, phone, receipted_at FROM written WHERE status IN (${EXCEPTIONAL})
  ON CONFLICT (id) DO UPDATE SET
    status = excluded.status, operator = excluded.operator, phone = excluded.phone,
    receipted_at = coalesce(e.receipted_at, excluded.receipted_at)
),
moved AS (
  SELECT user_id, (created_at AT TIME ZONE ${ZONE})::date AS day, operator, type, status, 1 AS messages, pages, price, posted
  FROM written
  UNION ALL
  SELECT user_id, (created_at AT TIME ZONE ${ZONE})::date, prev_operator, prev_type, prev_status,
    -1, CASE WHEN prev_type IS NOT NULL THEN -pages END, CASE WHEN prev_type IS NOT NULL THEN -price END, -prev_posted
  FROM written WHERE prev_status IS NOT NULL
  UNION ALL
  SELECT * FROM unnest(${COPIED_ARGUMENTS}) AS copied
)
INSERT INTO daily_totals AS t (user_id, day, operator, type, status, messages, pages, price, posted)
SELECT user_id, day, operator, coalesce(type::text, ''), status,
  sum(messages), coalesce(sum(pages), 0), coalesce(sum(price), 0), sum(posted)
FROM moved GROUP BY user_id, day, operator, type, status
HAVING sum(messages) <> 0 OR coalesce(sum(pages), 0) <> 0 OR coalesce(sum(price), 0) <> 0 OR sum(posted) <> 0
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (user_id, day, operator, type, status) DO UPDATE SET
  messages = t.messages + excluded.messages, pages = t.pages + excluded.pages,
  price = t.price + excluded.price, posted = t.posted + excluded.posted`;

/**
 * Writes patches inside the caller's transaction.
 * @param patches each message once, ordered by id; the partitions of their days exist
 * @param copied what other rows of this transaction add to the totals
 */
export async function upsertMessages(
  tx: Sql,
  patches: readonly Patch[],
  timeZone: string,
  copied: readonly DayCount[] = [],
): Promise<void> {
  if (patches.length === 0 && copied.length === 0) return;
  const args = SHAPES.flatMap(({ columns, takes }) => {
    const those = patches.filter(takes);
    return columns.map((column) => argumentOf(column, those));
  });
  const counted = COPIED_COLUMNS.map((name) => textArray(copied.map((one) => String(one[name]))));
  await tx.unsafe(UPSERT, [...args, timeZone, ...counted], { prepare: true });
}
