/**
 * A receipt settles an open `unknown`: it proves that the operator took the message, so billing posts its hold instead of
 * refunding it. A receipt belongs to an unknown when it carries our own id, or else when it names the handset's number and that
 * number had but one open unknown at that operator when it came. One that waits to be sent again after an unknown (`on_unknown: resend`)
 * is spared the second submit, where the receipt carries our id. Billing's record decides (it may have been settled meanwhile), and its
 * sweeper publishes the outcome; here nothing is written.
 */
import { Outcome, type SettleItem } from '../shared/billing.ts';
import type { BillingClient } from '../shared/grpc.ts';
import { errorFields, type Log } from '../shared/log.ts';
import type { Sql } from '../shared/postgres.ts';

const EVERY_MS = 2_000;
const MOST = 500;
const DEADLINE_MS = 4_000;
/**
 * A receipt without our id waits this long before it may stand for an unknown: the answer that bears its id may be on its way
 * still, and then it is another message's.
 */
const UNCLAIMED_S = 5;

type Row = { id: string; user_id: string; attempts: number; operator: string; operator_id: string };

/** Open unknowns that a receipt proves, at most so many. */
export async function provenUnknowns(sql: Sql): Promise<Row[]> {
  return sql<Row[]>`
    SELECT m.id, m.user_id, m.attempts, m.operator, coalesce(own.operator_id, named.operator_id) AS operator_id
    FROM exceptions e
    JOIN messages m ON m.id = e.id
    LEFT JOIN LATERAL (SELECT min(k) AS operator_id FROM jsonb_object_keys(m.receipts) AS k) AS own ON true
    LEFT JOIN LATERAL (
      SELECT w.operator_id FROM receipts_waiting w
      WHERE m.status = 'unknown' AND own.operator_id IS NULL AND w.operator = m.operator AND w.phone = m.phone AND w.message_id IS NULL
        AND w.received_at BETWEEN m.created_at AND now() - make_interval(secs => ${UNCLAIMED_S})
        AND NOT EXISTS (
          SELECT 1 FROM exceptions n
          WHERE n.status = 'unknown' AND n.operator = m.operator AND n.phone = m.phone AND n.id <> m.id)
        -- One that was given up since the receipt came may be the one it is of: of two, the first to be given up leaves the other alone.
        AND NOT EXISTS (
          SELECT 1 FROM messages n
          WHERE n.phone = m.phone AND n.operator = m.operator AND n.id <> m.id AND n.status = 'failed'
            AND 'perhaps_sent' = ANY (n.flags) AND n.decided_at > w.received_at
            AND n.created_at BETWEEN m.created_at - interval '1 day' AND w.received_at)
      ORDER BY w.received_at LIMIT 1
    ) AS named ON true
    WHERE (e.status = 'unknown' OR (e.status = 'retrying' AND e.receipted))
      AND coalesce(own.operator_id, named.operator_id) IS NOT NULL
    ORDER BY m.id LIMIT ${MOST}`;
}

const settlement = ({ id, user_id, attempts, operator, operator_id }: Row): SettleItem => ({
  user_id,
  message_id: id,
  attempt: attempts,
  claim: 0,
  outcome: Outcome.SENT,
  operator,
  operator_ids: [operator_id],
  amount: '0',
  error: '',
  flags: [],
});

export type UnknownsDeps = { sql: Sql; billing: BillingClient; onSettled: (count: number) => void; log: Log };

/** One round; safe in several replicas at once, since billing takes an outcome once. Answers how many it settled. */
export async function settleUnknowns({ sql, billing, onSettled }: UnknownsDeps): Promise<number> {
  const rows = await provenUnknowns(sql);
  if (rows.length === 0) return 0;
  const request = { owner: 'receipts', items: rows.map(settlement), published: [] };
  const { results } = await billing.call('Settle', request, DEADLINE_MS);
  const settled = results.filter(({ applied }) => applied).length;
  onSettled(settled);
  return settled;
}

/** Looks for such receipts every two seconds until closed. */
export function watchUnknowns(deps: UnknownsDeps): { close(): Promise<void> } {
  let running: Promise<unknown> = Promise.resolve();
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    running = settleUnknowns(deps)
      .catch((thrown) => deps.log.debug('unknowns_not_settled', errorFields(thrown)))
      .finally(() => {
        busy = false;
      });
  }, EVERY_MS);
  return {
    close: async () => {
      clearInterval(timer);
      await running;
    },
  };
}
