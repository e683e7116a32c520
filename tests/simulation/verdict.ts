/** What must hold once a history is over: DESIGN.md's promises to a client, an account and a handset, over all that was seen. */
import { ATTEMPTS_MAX } from '../../shared/topics.ts';
import type { Submit } from './operator.ts';
import { type Fold, shownOf, type Table } from './report.ts';
import { isOpen, type Seen, type Witness } from './witness.ts';

/** What a client was told of one message. */
export type Told = {
  ref: string;
  user: string;
  /** Sends with the same key are one message. */
  key: string;
  answers: ('accepted' | 'refused' | 'unknown')[];
  /** The ids of its acceptances. */
  ids: string[];
};

export type Evidence = {
  witness: Witness;
  told: readonly Told[];
  submits: readonly Submit[];
  table: Table;
  fold: Fold;
  /** By account: what its top-ups surely and perhaps came to, Rials. */
  toppedUp: ReadonlyMap<string, { sure: number; perhaps: number }>;
  balances: ReadonlyMap<string, { posted: number; topped_up: number }>;
  /** Redis' clock was moved: a claim may have ended before its time. */
  clockMoved: boolean;
};

/** After these a claim is undone or handed on: the operator surely has nothing. */
export const HARMLESS: ReadonlySet<string | null> = new Set(['throttled', 'released', 'wrong_network']);
const flagsOf = ({ flags }: Seen): string[] => flags.split(',').filter((flag) => flag !== '');

/** Each 202 is one message, a refusal none, a key one at most. */
function faultsOfAnswers({ witness, told }: Evidence): string[] {
  const faults: string[] = [];
  const byRef = new Map<string, Seen[]>();
  for (const seen of witness.messages.values()) byRef.set(seen.ref, [...(byRef.get(seen.ref) ?? []), seen]);
  for (const { ref, key, answers, ids } of told) {
    const held = byRef.get(ref) ?? [];
    byRef.delete(ref);
    const accepted = answers.filter((answer) => answer === 'accepted').length;
    const unknown = answers.filter((answer) => answer === 'unknown').length;
    for (const id of ids)
      if (!held.some((seen) => seen.id === id)) faults.push(`${ref}: 202 for ${id}, and nothing is held`);
    if (key === '') {
      if (held.length < accepted || held.length > accepted + unknown)
        faults.push(`${ref}: ${held.length} held, ${accepted} accepted, ${unknown} unknown`);
    } else if (held.length > 1) faults.push(`${ref}: its key was held ${held.length} times`);
    else if (held.length === 1 && accepted + unknown === 0) faults.push(`${ref}: refused, and held`);
  }
  for (const ref of byRef.keys()) faults.push(`${ref}: held, and nobody sent it`);
  return faults;
}

function faultsOfSubmits(seen: Seen, submits: readonly Submit[], clockMoved: boolean): string[] {
  const faults: string[] = [];
  const taken = submits.filter((submit) => submit.taken).length;
  const flags = flagsOf(seen);
  const perhaps = flags.includes('perhaps_double') || flags.includes('perhaps_sent');
  if (taken > 1 && !perhaps) faults.push(`${taken} copies at the handset, and nothing says so`);
  if (taken > 0 && seen.state === 'failed' && !flags.includes('perhaps_sent'))
    faults.push('refunded, and the operator has it; nothing says so');
  if (seen.state === 'sent' && !submits.some(({ told }) => told === 'accepted') && taken === 0)
    faults.push('posted, and no operator has it');
  const burnt = submits.filter(({ told }) => !HARMLESS.has(told)).length;
  if (burnt > ATTEMPTS_MAX) faults.push(`${burnt} submits, of which ${ATTEMPTS_MAX} are allowed`);
  for (const [i, submit] of submits.entries()) {
    const next = submits[i + 1];
    if (next === undefined || (submit.told !== 'unknown' && submit.told !== null)) continue;
    if (next.operator !== submit.operator && !clockMoved)
      faults.push(`${submit.operator} may have it, and ${next.operator} was given it too`);
  }
  return faults;
}

function faultsOfMessage(evidence: Evidence, seen: Seen): string[] {
  const { witness, submits, table, fold, clockMoved } = evidence;
  const faults: string[] = [];
  if (isOpen(seen)) faults.push(`still ${seen.state}`);
  if (!seen.gone) faults.push('its record was not forgotten');
  if (!witness.isPublished(seen.id, seen.version)) faults.push(`Kafka never had its outcome (${seen.state})`);
  const own = submits.filter(({ id }) => id === seen.id);
  faults.push(...faultsOfSubmits(seen, own, clockMoved));
  const row = table.rows.get(seen.id);
  if (row === undefined) return [...faults, 'the report does not know it'];
  const shown = shownOf(fold, row);
  const fits = seen.state === 'sent' ? ['sent', 'delivered', 'undelivered'] : ['failed'];
  if (!fits.includes(shown)) faults.push(`${seen.state} in the books, ${shown} in the report`);
  if (row.decision?.posted !== seen.posted) faults.push(`posted ${seen.posted}, ${row.decision?.posted} in the report`);
  if ((row.decision?.dead ?? false) !== seen.dead) faults.push('a dead letter on one side alone');
  if (row.message === null) faults.push('the report never saw it queued');
  return faults;
}

function faultsOfAccounts({ table, toppedUp, balances }: Evidence): string[] {
  const faults: string[] = [];
  for (const [user, { sure, perhaps }] of toppedUp) {
    const { posted, topped_up } = balances.get(user) ?? { posted: 0, topped_up: 0 };
    if (topped_up < sure || topped_up > sure + perhaps)
      faults.push(`account ${user}: ${topped_up} topped up, ${sure} confirmed and ${perhaps} unknown`);
    let ledger = 0;
    for (const entry of table.ledger.values()) if (entry.user_id === user) ledger += entry.amount;
    if (ledger !== topped_up) faults.push(`account ${user}: ${topped_up} topped up, ${ledger} in the report`);
    let spent = 0;
    for (const row of table.rows.values()) if (row.user_id === user) spent += row.decision?.posted ?? 0;
    if (spent !== posted) faults.push(`account ${user}: ${posted} posted, ${spent} in the report`);
  }
  return faults;
}

/** All that is wrong, a sentence each. */
export function faultsOf(evidence: Evidence): string[] {
  const messages = [...evidence.witness.messages.values()].flatMap((seen) =>
    faultsOfMessage(evidence, seen).map((what) => `message ${seen.id}: ${what}`),
  );
  return [...faultsOfAnswers(evidence), ...messages, ...faultsOfAccounts(evidence)];
}

/** What became of a history's messages, counted by kind: a simulation that never gets somewhere proves nothing about it. */
export function reachedBy({ witness, table, fold, submits }: Evidence): string[] {
  const reached: string[] = [];
  for (const seen of witness.messages.values()) {
    reached.push(seen.state, ...flagsOf(seen));
    if (seen.state === 'failed' && (seen.error === 'expired' || seen.error === 'no_answer')) reached.push(seen.error);
    if (seen.dead) reached.push('dead');
    if (seen.attempt === ATTEMPTS_MAX) reached.push('last attempt');
    const row = table.rows.get(seen.id);
    if (row?.receipts) reached.push(`receipted ${shownOf(fold, row)}`);
    for (const { status, error } of row?.others ?? [])
      reached.push(status, ...(error === 'claim_left_behind' ? [error] : []));
  }
  for (const { told, taken } of submits)
    reached.push(`told ${told}`, ...(taken && told !== 'accepted' ? ['taken unheard'] : []));
  return reached;
}
