/**
 * What no benchmark may cost: every scenario ends with the books compared. The bench's own count of 202 answers, Redis,
 * PostgreSQL's sums, PostgreSQL's rows and the operators' counters must tell one story.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Bench } from './bench.ts';
import type { Excuse } from './books.ts';
import { simulatorCounters } from './operators.ts';

type Audit = {
  redis: { topped_up: number; available: number; held: number; posted: number; open_holds: number };
  postgres: { topped_up: number; posted: number } | null;
  balanced: boolean;
};

export type Ledger = {
  chargedRials: number;
  /** By 202 answers. */
  accepted: number;
  acceptedRials: number;
  lostMessages: number;
  excused: Excuse;
  redis: { toppedUp: number; held: number; posted: number; openHolds: number };
  unbalanced: readonly string[];
  /** PostgreSQL's rows by status, and the same by its totals. */
  rows: Readonly<Record<string, number>>;
  totals: Readonly<Record<string, number>>;
  rowsPostedRials: number;
  /** Rows that tell of a submit without an answer. */
  perhapsSent: number;
  operators: { accepted: number; doubled: number };
};

const SENT = ['sent', 'delivered', 'undelivered'];
const FINAL = [...SENT, 'failed'];
const sumOf = (counts: Readonly<Record<string, number>>, names: readonly string[]): number =>
  names.reduce((sum, name) => sum + (counts[name] ?? 0), 0);

/**
 * Everything that does not add up, a sentence each. Pure.
 * @param faults the scenario made operators or processes fail: then some messages may rightly end `failed`
 */
export function violationsOf(ledger: Ledger, faults: boolean): string[] {
  const { redis, rows, totals, operators } = ledger;
  const found: string[] = [];
  const hold = (holds: boolean, sentence: string): void => void (holds || found.push(sentence));
  hold(ledger.unbalanced.length === 0, `the audit is not balanced for ${ledger.unbalanced.slice(0, 5).join(', ')}`);
  hold(redis.toppedUp === ledger.chargedRials, `charged ${ledger.chargedRials} Rials, Redis has ${redis.toppedUp}`);
  hold(redis.openHolds === 0 && redis.held === 0, `${redis.openHolds} holds (${redis.held} Rials) are still open`);
  const all = Object.values(rows).reduce((sum, n) => sum + n, 0);
  const final = sumOf(rows, FINAL);
  const sent = sumOf(rows, SENT);
  hold(all === final, `${all - final} messages have no final status`);
  hold(
    all >= ledger.accepted && all <= ledger.accepted + ledger.lostMessages,
    `${ledger.accepted} messages were accepted (${ledger.lostMessages} with a lost answer), PostgreSQL has ${all}`,
  );
  for (const status of new Set([...Object.keys(rows), ...Object.keys(totals)]))
    hold(
      (rows[status] ?? 0) === (totals[status] ?? 0),
      `${rows[status] ?? 0} rows are ${status}, the totals say ${totals[status] ?? 0}`,
    );
  hold(ledger.rowsPostedRials === redis.posted, `rows: ${ledger.rowsPostedRials} Rials posted, Redis: ${redis.posted}`);
  if (!faults) {
    const { failed, refundedRials } = ledger.excused;
    hold(all - sent === failed, `${all - sent - failed} messages failed without a fault`);
    const exact = ledger.lostMessages === 0;
    hold(
      !exact || redis.posted + refundedRials === ledger.acceptedRials,
      `accepted for ${ledger.acceptedRials} Rials, posted ${redis.posted} and refunded ${refundedRials}`,
    );
  }
  hold(operators.doubled === 0, `${operators.doubled} messages were accepted twice by an operator`);
  const extra = operators.accepted - sent;
  hold(
    extra >= 0 && extra <= ledger.perhapsSent,
    `operators accepted ${operators.accepted} messages, ${sent} are sent and ${ledger.perhapsSent} flagged as perhaps sent`,
  );
  return found;
}

const AT_ONCE = 8;
const BALANCED_WITHIN_MS = 20_000;

async function audit({ stack }: Bench, account: string): Promise<Audit> {
  const answer = await fetch(`${stack.urls.billing}/audit/${account}`, { signal: AbortSignal.timeout(10_000) });
  if (!answer.ok) throw new Error(`the audit of ${account} is not answered: ${answer.status}`);
  return (await answer.json()) as Audit;
}

/** Each account's audit; one that is not balanced is asked again for a while, for PostgreSQL may be a moment behind. */
async function audits(bench: Bench): Promise<Map<string, Audit>> {
  const found = new Map<string, Audit>();
  const until = performance.now() + BALANCED_WITHIN_MS;
  for (let open = [...bench.books.accounts]; open.length > 0; ) {
    for (let from = 0; from < open.length; from += AT_ONCE) {
      const some = open.slice(from, from + AT_ONCE);
      const answers = await Promise.all(some.map((account) => audit(bench, account)));
      for (const [i, account] of some.entries()) found.set(account, answers[i] as Audit);
    }
    open = open.filter((account) => !found.get(account)?.balanced);
    if (performance.now() > until) break;
    if (open.length > 0) await delay(250);
  }
  return found;
}

async function readLedger(bench: Bench): Promise<Ledger> {
  const { sql, books } = bench;
  const found = await audits(bench);
  const sum = (pick: (audit: Audit) => number): number =>
    [...found.values()].reduce((total, one) => total + pick(one), 0);
  const rows = await sql<{ status: string; messages: number; posted: number; perhaps_sent: number }[]>`
    SELECT status, count(*)::float8 AS messages, sum(posted)::float8 AS posted,
      count(*) FILTER (WHERE flags @> '{perhaps_sent}')::float8 AS perhaps_sent
    FROM messages WHERE user_id LIKE 'bench-%' GROUP BY status`;
  const totals = await sql<{ status: string; messages: number }[]>`
    SELECT status, sum(messages)::float8 AS messages FROM daily_totals WHERE user_id LIKE 'bench-%'
    GROUP BY status HAVING sum(messages) <> 0`;
  return {
    chargedRials: books.chargedRials,
    accepted: books.accepted,
    acceptedRials: books.acceptedRials,
    lostMessages: books.lostMessages,
    excused: books.excused,
    redis: {
      toppedUp: sum(({ redis }) => redis.topped_up),
      held: sum(({ redis }) => redis.held),
      posted: sum(({ redis }) => redis.posted),
      openHolds: sum(({ redis }) => redis.open_holds),
    },
    unbalanced: [...found].filter(([, { balanced }]) => !balanced).map(([account]) => account),
    rows: Object.fromEntries(rows.map(({ status, messages }) => [status, messages])),
    totals: Object.fromEntries(totals.map(({ status, messages }) => [status, messages])),
    rowsPostedRials: rows.reduce((total, { posted }) => total + posted, 0),
    perhapsSent: rows.reduce((total, { perhaps_sent }) => total + perhaps_sent, 0),
    operators: await simulatorCounters(bench.stack),
  };
}

/** Compares the books; everything must have been drained. */
export async function checkBooks(bench: Bench, faults = false): Promise<string[]> {
  const ledger = await readLedger(bench);
  const violations = violationsOf(ledger, faults);
  // The scenarios that follow may fail nothing more than this.
  if (faults) {
    const refundedRials = ledger.acceptedRials - ledger.redis.posted;
    bench.books.excuse({ failed: ledger.rows.failed ?? 0, refundedRials });
  }
  return violations;
}
