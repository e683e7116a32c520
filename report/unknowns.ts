/**
 * A receipt settles an open `unknown`: it proves that the operator took the message, so billing posts its hold instead of
 * refunding it. A receipt belongs to an unknown when it carries our own id, or else when it names the handset's number and that
 * number had but one open unknown at that operator when it came. One that waits to be sent again after an unknown (`on_unknown: resend`)
 * is spared the second submit, where the receipt carries our id. Billing's record decides (it may have been settled meanwhile), and its
 * sweeper publishes the outcome; here nothing is written.
 *
 * Where the operator gets a long message in parts, a receipt proves its own part alone. The first decision is final, so an unknown
 * waits a moment for the receipts of its other parts; what of them nobody has proof of then is taken for not sent: the share
 * of the proven ones is posted, and the message flagged `partial`. What waits to be sent again is not waited with: its
 * handset would get the proven parts twice.
 */
import { Outcome, type SettleItem } from '../shared/billing.ts';
import type { BillingClient } from '../shared/grpc.ts';
import { errorFields, type Log } from '../shared/log.ts';
import { shareOf } from '../shared/money.ts';
import type { Sql } from '../shared/postgres.ts';
import { startRounds } from '../shared/rounds.ts';

const EVERY_MS = 2_000;
const MOST = 500;
const DEADLINE_MS = 4_000;
/**
 * A receipt without our id waits this long before it may stand for an unknown: the answer that bears its id may be on its way
 * still, and then it is another message's.
 */
const UNCLAIMED_S = 5;

/** From the first part's receipt, how long those of the others are waited for; most come within seconds of each other. */
const PARTS_WITHIN_S = 15;

export type Proven = {
  id: string;
  user_id: string;
  attempts: number;
  operator: string;
  pages: number | null;
  price: number | null;
  /** The operator's ids of the receipts that prove it, the first to come first. */
  operator_ids: string[];
  /** Each of them is of one part. */
  parts: boolean;
};

/** Open unknowns that receipts prove and that need not be waited with, at most so many. */
export async function provenUnknowns(sql: Sql): Promise<Proven[]> {
  return sql<Proven[]>`
    SELECT m.id, m.user_id, m.attempts, m.operator, m.pages, m.price::float8 AS price,
      proof.operator_ids, proof.parts
    FROM exceptions e
    JOIN messages m ON m.id = e.id
    LEFT JOIN LATERAL (
      SELECT array_agg(part ORDER BY part) AS operator_ids, bool_and(receipt ? 'part') AS parts
      FROM jsonb_each(m.receipts) AS r (part, receipt)
    ) AS own ON true
    LEFT JOIN LATERAL (
      -- No more of them than it may have: what else waits is not of this message.
      SELECT (array_agg(w.operator_id ORDER BY w.received_at, w.operator_id))[1:CASE WHEN bool_and(w.part) THEN m.pages ELSE 1 END]
        AS operator_ids, bool_and(w.part) AS parts, min(w.received_at) AS received_at
      FROM receipts_waiting w
      WHERE m.status = 'unknown' AND own.operator_ids IS NULL AND w.operator = m.operator AND w.phone = m.phone AND w.message_id IS NULL
        AND w.received_at BETWEEN m.created_at AND now() - make_interval(secs => ${UNCLAIMED_S})
        AND NOT EXISTS (
          SELECT 1 FROM exceptions n
          WHERE n.status = 'unknown' AND n.operator = m.operator AND n.phone = m.phone AND n.id <> m.id)
        -- One that was given up since the receipt came may be the one it is of: of two, the first to be given up leaves the other
        -- alone. So may one that was settled in part: its other parts' receipts come late.
        AND NOT EXISTS (
          SELECT 1 FROM messages n
          WHERE n.phone = m.phone AND n.operator = m.operator AND n.id <> m.id
            AND (n.status = 'failed' AND 'perhaps_sent' = ANY (n.flags) AND n.decided_at > w.received_at OR 'partial' = ANY (n.flags))
            AND n.created_at BETWEEN m.created_at - interval '1 day' AND w.received_at)
    ) AS named ON true
    CROSS JOIN LATERAL (
      SELECT coalesce(own.operator_ids, named.operator_ids) AS operator_ids, coalesce(own.parts, named.parts) AS parts,
        coalesce(e.receipted_at, named.received_at) AS first_at
    ) AS proof
    WHERE (e.status = 'unknown' OR (e.status = 'retrying' AND e.receipted_at IS NOT NULL))
      AND proof.operator_ids IS NOT NULL
      AND (NOT proof.parts OR m.pages <= cardinality(proof.operator_ids)
        OR m.pages IS NOT NULL AND (e.status = 'retrying' OR proof.first_at < now() - make_interval(secs => ${PARTS_WITHIN_S})))
    -- The newest first: what billing has forgotten is never settled, and must not stand before them for ever.
    ORDER BY m.id DESC LIMIT ${MOST}`;
}

/** What billing is told of a proven one. Pure. */
export function settlement({ id, user_id, attempts, operator, pages, price, operator_ids, parts }: Proven): SettleItem {
  // Of a message whose parts are told apart the pages and so the price are known.
  const missing = parts && operator_ids.length < (pages ?? 1);
  return {
    user_id,
    message_id: id,
    attempt: attempts,
    claim: 0,
    outcome: Outcome.SENT,
    operator,
    operator_ids,
    amount: missing ? shareOf(price ?? 0, operator_ids.length, pages ?? 1) : 0,
    error: '',
    flags: missing ? ['partial'] : [],
  };
}

export type UnknownsDeps = {
  sql: Sql;
  billing: BillingClient;
  /** Called for each, with its operator. */
  onSettled: (operator: string) => void;
  log: Log;
};

/** One round; safe in several replicas at once, since billing takes an outcome once. Answers how many it settled. */
export async function settleUnknowns({ sql, billing, onSettled }: UnknownsDeps): Promise<number> {
  const rows = await provenUnknowns(sql);
  if (rows.length === 0) return 0;
  const request = { owner: 'receipts', items: rows.map(settlement), published: [] };
  const { results } = await billing.call('Settle', request, DEADLINE_MS);
  const settled = rows.filter((_, i) => results[i]?.applied);
  for (const { operator } of settled) onSettled(operator);
  return settled.length;
}

/** Looks for such receipts every two seconds until closed. */
export function watchUnknowns(deps: UnknownsDeps): { close(): Promise<void> } {
  return startRounds(
    () => settleUnknowns(deps).catch((thrown) => deps.log.debug('unknowns_not_settled', errorFields(thrown))),
    EVERY_MS,
  );
}
