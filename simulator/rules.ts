/** What becomes of a submit: a list of rules by number, share and try; the first that fits decides. */
import { draw } from './rng.ts';

/** Outcomes and what they answer where the rule names no status of its own. */
export const OUTCOMES = {
  accept: { http: 200, smpp: 0x00 },
  reject: { http: 400, smpp: 0x0b },
  transient: { http: 503, smpp: 0x08 },
  throttle: { http: 429, smpp: 0x58 },
  unauthorized: { http: 401, smpp: 0x04 },
  /** The number lives in another network: 0x400 is the first of the codes SMPP leaves to the operator. */
  wrong_network: { http: 422, smpp: 0x0400 },
  /** Accepts and records, and never answers. */
  silent: { http: 0, smpp: 0 },
  /** Does not accept and never answers. */
  silent_drop: { http: 0, smpp: 0 },
  /** Drops the link before accepting. */
  disconnect_before: { http: 0, smpp: 0 },
  /** Accepts, records, and drops the link before answering. */
  disconnect_after: { http: 0, smpp: 0 },
} as const;

export type Outcome = keyof typeof OUTCOMES;

export type Rule = {
  /** A regular expression on the number in E.164 (`+98…`); none fits every number. */
  match?: string;
  /** The share of the fitting submits, 0 to 1, drawn by seed, number and how many came to that number before. */
  share?: number;
  /** Only the first n tries of that message (HTTP: of its message_id; SMPP: of that part to that number). */
  times?: number;
  /** Only this part of a long message, counted from 1 (SMPP). */
  part?: number;
  outcome: Outcome;
  http_status?: number;
  smpp_status?: number;
};

export type Verdict = { readonly outcome: Outcome; readonly httpStatus: number; readonly smppStatus: number };

const verdict = (outcome: Outcome, http?: number, smpp?: number): Verdict => ({
  outcome,
  httpStatus: http ?? OUTCOMES[outcome].http,
  smppStatus: smpp ?? OUTCOMES[outcome].smpp,
});

export const ACCEPT = verdict('accept');
export const THROTTLE = verdict('throttle');

/** @param to in E.164 @param messageKey what `times` counts by @param part from 1 */
export type Decide = (to: string, messageKey: string, part: number) => Verdict;

/** Names counted by a rule; past the bound the oldest half is forgotten. */
const COUNTED_MAX = 400_000;

function createCount(): (name: string) => number {
  let young = new Map<string, number>();
  let old = new Map<string, number>();
  return (name) => {
    const nth = (young.get(name) ?? old.get(name) ?? 0) + 1;
    if (young.size >= COUNTED_MAX / 2 && !young.has(name)) {
      old = young;
      young = new Map();
    }
    young.set(name, nth);
    return nth;
  };
}

/** Rules made ready to be asked; their counts begin anew. */
export function compileRules(rules: readonly Rule[], seed: number): Decide {
  if (rules.length === 0) return () => ACCEPT;
  const ready = rules.map((rule, index) => {
    const pattern = rule.match === undefined ? null : new RegExp(rule.match);
    const share = rule.share ?? 1;
    const arrivals = createCount();
    const tries = createCount();
    const fits = (to: string, key: string, part: number): boolean =>
      (rule.part === undefined || rule.part === part) &&
      (pattern === null || pattern.test(to)) &&
      (share >= 1 || draw(seed + index, to, arrivals(to)) < share) &&
      (rule.times === undefined || tries(key) <= rule.times);
    return { fits, decided: verdict(rule.outcome, rule.http_status, rule.smpp_status) };
  });
  return (to, key, part) => {
    for (const rule of ready) if (rule.fits(to, key, part)) return rule.decided;
    return ACCEPT;
  };
}
