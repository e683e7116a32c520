/**
 * Delivery receipts and their messages, by (operator, operator's id). A receipt may come before its message, late, twice, a
 * part at a time, or for nothing of ours. Both directions meet in one write: a receipt looks for its message among the ids
 * that are known, and new ids look for receipts that wait. Two writers at one moment can miss each other; `reclaim` looks
 * again at what came lately.
 */
import type { ReceiptEvent, StatusEvent } from '../shared/events.ts';
import { idTimeMs } from '../shared/id.ts';
import type { Sql } from '../shared/postgres.ts';
import { startRounds } from '../shared/rounds.ts';
import { textArray } from './column-kinds.ts';

/** A receipt whose message is known. */
export type Match = {
  receipt: ReceiptEvent;
  message_id: string;
  /** Null where the message's row is not written yet: it is in this very batch. */
  user_id: string | null;
  /** It waited before. */
  waited: boolean;
  /** Its part has a receipt already: nothing is to be written. */
  doubled: boolean;
  refunded: boolean;
};

export type Matched = {
  matches: Match[];
  /** Receipts without a message yet. */
  early: readonly ReceiptEvent[];
  /** Of these, a row for each that waits from now on: of a part's several, one does, and of the others nothing was written. */
  kept: readonly { operator: string }[];
  /** Receipts that had waited and were looked at again. */
  waited: readonly ReceiptEvent[];
};

/** What became of receipts, as the counters name it; `after_refund` are matched as well. */
export type ReceiptOutcome = 'matched' | 'waited' | 'early' | 'doubled' | 'after_refund';
/** By operator. */
export type ReceiptCounts = ReadonlyMap<string, Readonly<Record<ReceiptOutcome, number>>>;

export function countReceipts({ matches, early, kept, waited }: Matched): ReceiptCounts {
  const counts = new Map<string, Record<ReceiptOutcome, number>>();
  const add = (operator: string, outcome: ReceiptOutcome, count = 1): void => {
    const of = counts.get(operator) ?? { matched: 0, waited: 0, early: 0, doubled: 0, after_refund: 0 };
    of[outcome] += count;
    counts.set(operator, of);
  };
  for (const { receipt, doubled, refunded } of matches) {
    add(receipt.operator, doubled ? 'doubled' : 'matched');
    if (refunded && !doubled) add(receipt.operator, 'after_refund');
  }
  for (const { operator } of waited) add(operator, 'waited');
  // Those that were not kept are doubled.
  for (const { operator } of early) add(operator, 'doubled');
  for (const { operator } of kept) {
    add(operator, 'early');
    add(operator, 'doubled', -1);
  }
  return counts;
}

type WaitingRow = {
  operator_id: string;
  operator: string;
  message_id: string | null;
  phone: string | null;
  part: boolean;
  status: 'delivered' | 'undelivered';
  error: string | null;
  at: number;
};

const WAITING_COLUMNS = `w.operator_id, w.operator, w.message_id, w.phone, w.part, w.status, w.error, (extract(epoch FROM w.at) * 1000)::float8 AS at`;

const asReceipt = (row: WaitingRow): ReceiptEvent => ({
  kind: 'receipt',
  operator: row.operator,
  operator_id: row.operator_id,
  ...(row.message_id === null ? {} : { message_id: row.message_id }),
  ...(row.phone === null ? {} : { phone: row.phone }),
  ...(row.part ? { part: true as const } : {}),
  status: row.status,
  error: row.error,
  at: row.at,
});

/**
 * Remembers which message each operator's id belongs to, and takes the receipts that waited for them.
 * @param statuses decisions of this batch; those older than the receipts' retention are passed by
 * @param ids the messages of this batch: receipts may wait for them by our own id
 */
export async function learnOperatorIds(
  tx: Sql,
  statuses: readonly StatusEvent[],
  ids: readonly string[],
  notBeforeMs: number,
): Promise<ReceiptEvent[]> {
  const operatorIds: string[] = [];
  const operators: string[] = [];
  const messageIds: string[] = [];
  for (const { id, operator, operator_ids } of statuses) {
    if (operator === '' || idTimeMs(id) < notBeforeMs) continue;
    for (const operatorId of operator_ids) {
      operatorIds.push(operatorId);
      operators.push(operator);
      messageIds.push(id);
    }
  }
  const [row] = await tx.unsafe<{ waiting: boolean }[]>(
    `WITH learned AS (
      INSERT INTO operator_ids (operator_id, operator, message_id)
      SELECT * FROM unnest($1::text::text[], $2::text::text[], $3::text::uuid[])
    )
    SELECT EXISTS (SELECT 1 FROM receipts_waiting) AS waiting`,
    [textArray(operatorIds), textArray(operators), textArray(messageIds)],
    { prepare: true },
  );
  if (!row?.waiting) return [];
  const waited = await tx.unsafe<WaitingRow[]>(
    `DELETE FROM receipts_waiting w WHERE (w.operator_id, w.operator) IN (
      SELECT i.operator_id, i.operator FROM unnest($1::text[], $2::text[]) AS i (operator_id, operator)
    ) OR w.message_id = ANY ($3::uuid[])
    RETURNING ${WAITING_COLUMNS}`,
    [operatorIds, operators, ids] as never[],
    { prepare: true },
  );
  return waited.map(asReceipt);
}

/** Takes receipts that came lately and whose message's id is known by now. */
export async function reclaim(tx: Sql): Promise<ReceiptEvent[]> {
  const rows = await tx.unsafe<WaitingRow[]>(
    `DELETE FROM receipts_waiting w
    WHERE w.received_at > now() - interval '2 minutes' AND (
      EXISTS (SELECT 1 FROM operator_ids o WHERE o.operator_id = w.operator_id AND o.operator = w.operator)
      OR EXISTS (SELECT 1 FROM messages m WHERE m.id = w.message_id))
    RETURNING ${WAITING_COLUMNS}`,
  );
  return rows.map(asReceipt);
}

/**
 * Finds the messages of receipts; what finds none waits.
 * @param inBatch messages of this batch, whose rows may not be there yet
 */
export async function matchReceipts(
  tx: Sql,
  receipts: readonly ReceiptEvent[],
  waited: readonly ReceiptEvent[],
  inBatch: ReadonlySet<string>,
): Promise<Matched> {
  const all = [...receipts, ...waited];
  if (all.length === 0) return { matches: [], early: [], kept: [], waited };
  const column = <K extends keyof ReceiptEvent>(name: K) => all.map((receipt) => receipt[name] ?? null);
  // An operator may give an id again after days: the newest message that bears it is meant.
  const found = await tx.unsafe<
    { n: number; message_id: string | null; user_id: string | null; doubled: boolean; refunded: boolean }[]
  >(
    `SELECT r.n::int, coalesce(r.message_id, o.message_id) AS message_id, m.user_id,
      coalesce(m.receipts ? r.operator_id, false) AS doubled, coalesce(m.status = 'failed', false) AS refunded
    FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS r (operator_id, operator, message_id, n)
    LEFT JOIN LATERAL (
      SELECT i.message_id FROM operator_ids i
      WHERE r.message_id IS NULL AND i.operator_id = r.operator_id AND i.operator = r.operator
      ORDER BY i.message_id DESC LIMIT 1
    ) AS o ON true
    LEFT JOIN messages m ON m.id = coalesce(r.message_id, o.message_id)`,
    [column('operator_id'), column('operator'), column('message_id')] as never[],
    { prepare: true },
  );
  const matches: Match[] = [];
  const early: ReceiptEvent[] = [];
  const seen = new Set<string>();
  for (const { n, message_id, user_id, doubled, refunded } of found) {
    const receipt = all[n - 1] as ReceiptEvent;
    if (message_id === null || (user_id === null && !inBatch.has(message_id))) {
      early.push(receipt);
      continue;
    }
    const part = `${message_id} ${receipt.operator_id}`;
    const match = {
      receipt,
      message_id,
      user_id,
      waited: n > receipts.length,
      doubled: doubled || seen.has(part),
      refunded,
    };
    seen.add(part);
    matches.push(match);
  }
  return { matches, early, kept: await keepWaiting(tx, early), waited };
}

/** Keeps receipts until their messages are known. Answers a row for each that is new: of a part's several, one waits. */
async function keepWaiting(tx: Sql, early: readonly ReceiptEvent[]): Promise<readonly { operator: string }[]> {
  if (early.length === 0) return [];
  // The client learns array types when it connects, and on a fresh database that is before message_status was made: as text.
  const of = <K extends keyof ReceiptEvent>(name: K) => early.map((receipt) => receipt[name] ?? null);
  return tx.unsafe<{ operator: string }[]>(
    `INSERT INTO receipts_waiting (operator_id, operator, message_id, phone, part, status, error, at, received_at)
    SELECT operator_id, operator, message_id, phone, part::boolean, status::message_status, error,
      to_timestamp(at_ms::float8 / 1000), now()
    FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[])
      AS r (operator_id, operator, message_id, phone, part, status, error, at_ms)
    ON CONFLICT DO NOTHING
    RETURNING operator`,
    [
      ...[
        of('operator_id'),
        of('operator'),
        of('message_id'),
        of('phone'),
        early.map(({ part }) => String(part === true)),
      ],
      ...[of('status'), of('error'), of('at')],
    ] as never[],
    { prepare: true },
  );
}

const COUNT_EVERY_MS = 30_000;
/** Past so many it is not counted on: that many wait only where an operator's ids are read wrongly, and each count reads them all. */
const COUNTED_MAX = 1_000_000;

/** How many receipts wait for their message, by operator. */
export async function waitingReceipts(sql: Sql): Promise<Map<string, number>> {
  const rows = await sql<{ operator: string; waiting: number }[]>`
    SELECT operator, count(*)::float8 AS waiting FROM (SELECT operator FROM receipts_waiting LIMIT ${COUNTED_MAX}) AS w GROUP BY operator`;
  return new Map(rows.map(({ operator, waiting }) => [operator, waiting]));
}

/** Tells how many wait, every half minute until closed. */
export function watchWaiting(
  sql: Sql,
  onCounted: (waiting: ReadonlyMap<string, number>) => void,
): { close(): Promise<void> } {
  // While PostgreSQL is away the last figure stands; the consumer tells that it is away.
  return startRounds(() => waitingReceipts(sql).then(onCounted, () => undefined), COUNT_EVERY_MS);
}
