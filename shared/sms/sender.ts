/** senders.json: the line number that a message is sent from, a default and the allowed ones by account. docs/PRICES.md has it. */

import type { Refused } from '../json-file.ts';
import { collectProblems, entriesOf, fieldsOf, list, placeAt, type Rule } from './fields.ts';

export type Senders = {
  /** For accounts without a default of their own. */
  readonly fallback: string;
  /** Open to every account; the default is among them. */
  readonly shared: ReadonlySet<string>;
  readonly accounts: ReadonlyMap<string, { readonly fallback: string | null; readonly allowed: ReadonlySet<string> }>;
};
export type SendersResult = { ok: true; senders: Senders } | Refused;

/** A line number (E.164 at most 15 digits), or a name in at most 11 letters and digits (3GPP TS 23.040, 9.1.2.5). */
const NUMERIC = /^\+?[0-9]{3,15}$/;
const ALPHANUMERIC = /^(?=[0-9]*[A-Za-z])[A-Za-z0-9]{1,11}$/;
const ALLOWED_MAX = 1_000;
/** DESIGN.md: the form of a user_id. */
const USER_ID = /^[A-Za-z0-9_.-]{1,64}$/;

export function isSender(value: string): boolean {
  return NUMERIC.test(value) || ALPHANUMERIC.test(value);
}

/** A sender, or the line that stands for it at an operator. */
export const SENDER: Rule<string> = (value, place) =>
  typeof value === 'string' && isSender(value)
    ? value
    : place.refuse('must be 3 to 15 digits, with a + before them if wanted, or 1 to 11 letters and digits');

/** Never throws. */
export function parseSenders(json: unknown): SendersResult {
  const problems = collectProblems();
  const fields = fieldsOf(json, placeAt('', problems));
  const fallback = fields?.need('default', SENDER) ?? '';
  const shared = new Set(fields?.read('allowed', list(SENDER, ALLOWED_MAX), []));
  const accounts = fields?.read('accounts', accountsRule, new Map()) ?? new Map();
  fields?.end();
  const lines = problems.lines();
  if (lines.length > 0) return { ok: false, problems: lines };
  return { ok: true, senders: { fallback, shared: shared.add(fallback), accounts } };
}

const accountsRule: Rule<Map<string, { fallback: string | null; allowed: Set<string> }>> = (value, place) => {
  const accounts = new Map<string, { fallback: string | null; allowed: Set<string> }>();
  for (const [userId, raw] of entriesOf(value, place) ?? []) {
    const inside = place.inside(userId);
    if (!USER_ID.test(userId)) inside.refuse('is not a user_id: 1 to 64 letters, digits, _, . or -');
    const fields = fieldsOf(raw, inside);
    if (!fields) continue;
    const fallback = fields.read<string | null>('default', SENDER, null);
    const allowed = new Set(fields.read('allowed', list(SENDER, ALLOWED_MAX), []));
    fields.end();
    if (fallback !== null) allowed.add(fallback);
    accounts.set(userId, { fallback, allowed });
  }
  return accounts;
};

/**
 * The sender of an account's message: the requested one if it is the account's or open to all, in exactly the form of the file;
 * without a request the account's default, else the general one.
 */
export function senderFor(
  senders: Senders,
  userId: string,
  requested?: string,
): { ok: true; sender: string } | { ok: false } {
  const account = senders.accounts.get(userId);
  if (requested === undefined) return { ok: true, sender: account?.fallback ?? senders.fallback };
  return account?.allowed.has(requested) || senders.shared.has(requested)
    ? { ok: true, sender: requested }
    : { ok: false };
}

/**
 * Type of number and numbering plan of a source address (SMPP 3.4, 5.2.5 and 5.2.6): 5/0 for a name, 1/1 for a number with its
 * country code, 0/1 for a line number as the operator knows it.
 */
export function addressOf(sender: string): { ton: number; npi: number } {
  if (!NUMERIC.test(sender)) return { ton: 5, npi: 0 };
  return sender.startsWith('+') ? { ton: 1, npi: 1 } : { ton: 0, npi: 1 };
}
