/**
 * What the scripts must do, as plainly as it can be said: the whole of billing's money in memory. Times are TIMES of
 * billing/scripts.ts; ids end in 000, so that retries have no jitter.
 */
import { TIMES } from '../../billing/scripts.ts';

export const WAITS_MS = [5_000, 30_000, 120_000] as const;
const ATTEMPTS_MAX = 4;

export type State = 'held' | 'claimed' | 'unknown' | 'sent' | 'failed';
export type Account = { available: number; held: number; posted: number; topped_up: number; open: number };
export type Message = {
  user: string;
  price: number;
  state: State;
  attempt: number;
  version: number;
  published: number;
  posted: number;
  error: string;
  flags: string[];
  owner: string | null;
  /** The number of the owner's claim. */
  claim: number;
  resend: boolean;
  waitMs: number;
  adrift: number;
  notBefore: number;
  validUntil: number;
  claimUntil: number;
  waitUntil: number;
  /** When somebody looks at it again; null once it is being forgotten. */
  due: number | null;
  boxed: number | null;
  /** Its event is kept: somebody may still have to produce it. */
  unseen: boolean;
  /** When it is forgotten; null while somebody may still ask for it. */
  leaves: number | null;
  gone: boolean;
};
type Key = { hash: string; codes: number[] };
export type World = {
  now: number;
  accounts: Map<string, Account>;
  messages: Map<string, Message>;
  keys: Map<string, Key>;
};

export const newWorld = (now: number): World => ({ now, accounts: new Map(), messages: new Map(), keys: new Map() });
/** What is remembered of an id. */
export function at(w: World, id: string): Message | undefined {
  const m = w.messages.get(id);
  return m?.gone ? undefined : m;
}
/** What every call of a script but a top-up ends with. */
export function forget(w: World): void {
  for (const m of w.messages.values()) m.gone ||= m.leaves !== null && m.leaves <= w.now;
}
export const isDecided = ({ state }: Message): boolean => state === 'sent' || state === 'failed';
export const unpublished = (m: Message): boolean => m.version > m.published && m.state !== 'claimed';
const deadline = (m: Message): number =>
  m.state === 'claimed' ? m.claimUntil : m.state === 'unknown' ? m.waitUntil : m.validUntil;

export function topUp(w: World, user: string, amount: number, most: number): number {
  const a = w.accounts.get(user) ?? { available: 0, held: 0, posted: 0, topped_up: 0, open: 0 };
  if (a.topped_up + amount > most) return 3;
  if (a.available + amount < 0) return 4;
  w.accounts.set(user, { ...a, available: a.available + amount, topped_up: a.topped_up + amount });
  return 0;
}

type Item = { id: string; madeAt: number; price: number; validUntil: number };
/** [outcome, codes] */
export function hold(w: World, user: string, key: string, hash: string, items: Item[]): [number, number[]] {
  const known = w.keys.get(`${user}:${key}`);
  if (known) return known.hash === hash ? [1, known.codes] : [2, []];
  const codes = items.map(({ id, madeAt, price, validUntil }) => {
    const a = w.accounts.get(user);
    if (at(w, id)) return 0;
    if (Math.abs(w.now - madeAt) > TIMES.idAgeMaxMs) return 2;
    if (!a || price > a.available) return 1;
    const idle = { posted: 0, error: '', flags: [], owner: null, claim: 0, resend: false, waitMs: 0, adrift: 0 };
    const times = { notBefore: 0, validUntil, claimUntil: 0, waitUntil: 0, due: validUntil };
    const boxed = w.now + TIMES.relayAfterMs;
    const fresh = { state: 'held', attempt: 1, version: 0, published: 0, boxed, unseen: true } as const;
    w.messages.set(id, { user, price, ...fresh, ...idle, ...times, leaves: null, gone: false });
    Object.assign(a, { available: a.available - price, held: a.held + price, open: a.open + 1 });
    return 0;
  });
  if (key && codes.includes(0)) w.keys.set(`${user}:${key}`, { hash, codes });
  return [0, codes];
}

function decide(w: World, m: Message, state: 'sent' | 'failed', posted: number, error: string, flags: string[]): void {
  m.unseen = state === 'failed' && m.state === 'held' && m.attempt === 1 && m.boxed !== null;
  const a = w.accounts.get(m.user) as Account;
  Object.assign(a, { held: a.held - m.price, posted: a.posted + posted, open: a.open - 1 });
  a.available += m.price - posted;
  // Sent again after an unknown: an earlier try may have been taken.
  if (state === 'failed' && flags.includes('perhaps_double')) flags = join(flags, ['perhaps_sent']);
  Object.assign(m, { state, posted, error, flags, version: m.version + 1, owner: null, claim: 0 });
  m.due = w.now + TIMES.publishGraceMs;
}

const join = (flags: string[], more: string[]): string[] => [...new Set([...flags, ...more])];

function failOrRetry(w: World, m: Message, error: string, flags: string[], lastFlags: string[]): void {
  if (m.attempt >= ATTEMPTS_MAX) decide(w, m, 'failed', 0, error, lastFlags);
  else {
    const notBefore = w.now + (WAITS_MS[m.attempt - 1] as number);
    const next = { state: 'held', version: m.version + 1, attempt: m.attempt + 1, owner: null, claim: 0 } as const;
    Object.assign(m, { ...next, error, flags, notBefore });
    m.due = Math.min(w.now + TIMES.publishGraceMs, m.validUntil);
  }
}

function becomeUnknown(w: World, m: Message, error: string): void {
  if (m.resend) failOrRetry(w, m, error, join(m.flags, ['perhaps_double']), join(m.flags, ['perhaps_sent']));
  else {
    Object.assign(m, { state: 'unknown', version: m.version + 1, error, waitUntil: w.now + m.waitMs });
    m.due = w.now + Math.min(m.waitMs, TIMES.publishGraceMs);
  }
}

/** A claim's code; the caller passes policy and deadline. */
export function claim(
  w: World,
  id: string,
  attempt: number,
  by: string,
  number: number,
  ttl: number,
  resend: boolean,
  waitMs: number,
) {
  const m = at(w, id);
  if (!m) return 1;
  if (isDecided(m)) return 2;
  if (m.state !== 'held' || attempt > m.attempt) return 3;
  if (m.validUntil <= w.now) {
    decide(w, m, 'failed', 0, 'expired', m.flags);
    return 2;
  }
  if (attempt < m.attempt) return 4;
  if (m.notBefore > w.now) return 5;
  if (m.owner === by && number <= m.claim) return 3;
  Object.assign(m, { state: 'claimed', owner: by, claim: number, resend, waitMs, adrift: 0, claimUntil: w.now + ttl });
  m.due = m.claimUntil;
  return 0;
}

/** Whether the record took it. Outcomes: 0 sent, 1 rejected, 2 transient, 3 unknown, 4 released. */
export function settle(
  w: World,
  id: string,
  attempt: number,
  outcome: number,
  by: string,
  number: number,
  amount: number,
  error: string,
  flags: string[],
): boolean {
  const m = at(w, id);
  if (!m || isDecided(m)) return false;
  const own = attempt === m.attempt && m.owner === by && m.claim === number;
  const may =
    outcome === 0
      ? attempt <= m.attempt && !(number === 0 && amount > 0 && m.state === 'claimed')
      : own && (m.state === 'claimed' || (m.state === 'unknown' && outcome < 3));
  if (!may) {
    const overtaken = outcome === 4 && m.state === 'held' && attempt === m.attempt;
    if (overtaken && (m.owner !== by || m.claim < number)) Object.assign(m, { owner: by, claim: number });
    return false;
  }
  if (outcome === 4) {
    Object.assign(m, { state: 'held', notBefore: 0, adrift: 1 });
    m.due = Math.min(w.now + TIMES.adriftAfterMs, m.validUntil);
    return true;
  }
  m.flags = join(m.flags, flags);
  if (outcome === 0) {
    const alone = attempt === 1 && m.attempt === 2 && m.state === 'held';
    if (alone) m.flags = m.flags.filter((flag) => flag !== 'perhaps_double');
    m.attempt = attempt;
  }
  if (outcome === 0) decide(w, m, 'sent', amount > 0 && amount < m.price ? amount : m.price, error, m.flags);
  else if (outcome === 1) decide(w, m, 'failed', 0, error, m.flags);
  else if (outcome === 2) failOrRetry(w, m, error, m.flags, m.flags);
  else becomeUnknown(w, m, error);
  return true;
}

export function confirm(w: World, id: string, version: number): void {
  const m = at(w, id);
  if (!m || m.version !== version) return;
  m.published = version;
  if (isDecided(m)) Object.assign(m, { due: null, leaves: w.now + TIMES.forgetAfterMs });
  else if (m.state !== 'held' || !m.adrift) m.due = deadline(m);
}

/** The ids that the sweeper is handed for publication. */
export function sweep(w: World): string[] {
  return [...w.messages].filter(([, m]) => m.due !== null && m.due <= w.now && lookAt(w, m)).map(([id]) => id);
}

function lookAt(w: World, m: Message): boolean {
  if (isDecided(m)) m.due = w.now + TIMES.publishGraceMs;
  else if (m.state === 'held' && m.validUntil <= w.now) decide(w, m, 'failed', 0, 'expired', m.flags);
  else if (m.state === 'claimed' && m.claimUntil <= w.now) becomeUnknown(w, m, 'claim_left_behind');
  else if (m.state === 'unknown' && m.waitUntil <= w.now)
    decide(w, m, 'failed', 0, 'no_answer', join(m.flags, ['perhaps_sent']));
  else if (m.state === 'held' && m.adrift) {
    m.adrift += 1;
    m.due = Math.min(w.now + TIMES.adriftAfterMs * m.adrift, m.validUntil);
    if (m.attempt === 1) m.boxed = w.now;
    return m.attempt > 1;
  } else {
    const publish = unpublished(m);
    m.due = publish ? Math.min(w.now + TIMES.publishGraceMs, deadline(m)) : deadline(m);
    return publish;
  }
  return true;
}

export const produced = (w: World, id: string): void => {
  const m = w.messages.get(id);
  if (m) m.boxed = null;
};

/** The ids that the relay hands out, oldest first; they keep their place. */
export function relay(w: World): string[] {
  const taken = [...w.messages].filter(([, m]) => m.boxed !== null && m.boxed <= w.now);
  taken.sort(([x, a], [y, b]) => (a.boxed as number) - (b.boxed as number) || (x < y ? -1 : 1));
  const told = taken.filter(
    ([, m]) => !m.gone && m.unseen && (m.state === 'failed' || (m.state === 'held' && m.attempt === 1)),
  );
  for (const [, m] of taken) if (!told.some(([, one]) => one === m)) m.boxed = null;
  return told.map(([id]) => id);
}
