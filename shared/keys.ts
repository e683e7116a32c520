/**
 * API keys: `jsms_<id>_<secret>`, 256 random bits that are shown once. Redis keeps a SHA-256 of the whole key, so what is read
 * there opens nothing; a slow hash would add nothing to 256 bits.
 *
 *   access:keys  hash  id -> the record as JSON
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { parseAddresses } from './addresses.ts';
import type { Redis } from './redis.ts';

const KEYS = 'access:keys';
const ID_BYTES = 8;
const SECRET_BYTES = 32;
/** As RATE_LIMIT_KEY has it. */
const RATE_MAX = 1_000_000;
const KEY = /^jsms_([0-9a-f]{16})_[0-9a-f]{64}$/;
const KEY_ID = /^(?:jsms_)?([0-9a-f]{16})(?:_[0-9a-f]{64})?$/;
/** Revoked and expired keys stay in the list for so long. */
const KEPT_MS = 90 * 86_400_000;

/**
 * What a key may be used for. send: messages, previews and the balance of its account; report: its account's reports and
 * balance; receipts: delivery receipts of an operator; metrics: the metrics; admin: everything, for every account.
 */
export const SCOPES = ['send', 'report', 'receipts', 'metrics', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** A key as Redis keeps it; times are epoch milliseconds. */
export type KeyRecord = {
  id: string;
  /** SHA-256 of the whole key, hex. */
  hash: string;
  scopes: readonly Scope[];
  /** The one account it is for; null only where no scope needs one. */
  user: string | null;
  /** The one operator whose receipts it may bring; null: any. */
  operator: string | null;
  /** Addresses and networks that it may be used from; empty: any. */
  allow: readonly string[];
  expires_at: number | null;
  /** Messages a second in place of RATE_LIMIT_KEY; null, or absent in records of before: that one holds. */
  rate?: number | null;
  created_at: number;
  revoked_at: number | null;
  note: string;
};

export type NewKey = Pick<KeyRecord, 'scopes' | 'user' | 'operator' | 'allow' | 'expires_at' | 'rate' | 'note'>;

/** The id in a key that is well formed, else null. */
export const keyIdOf = (key: string): string | null => KEY.exec(key)?.[1] ?? null;

/** An id as a person gives it: alone, with its prefix, or the whole key. */
export const readKeyId = (text: string): string | null => KEY_ID.exec(text)?.[1] ?? null;

export const hashOf = (key: string): Buffer => createHash('sha256').update(key).digest();

const NOBODY = Buffer.alloc(32);

/** Whether a key is the one of this record, in a time that says nothing; without a record it takes as long and is false. */
export function isSameKey(key: string, hash: Buffer | null): boolean {
  return timingSafeEqual(hashOf(key), hash ?? NOBODY) && hash !== null;
}

/** What is wrong with a wish for a key, one sentence each. Pure. */
export function keyProblems(
  { scopes, user, operator, allow, expires_at, rate, note }: NewKey,
  nowMs: number,
): string[] {
  const problems: string[] = [];
  if (scopes.length === 0) problems.push('a key needs a scope');
  const ofAccount = scopes.includes('send') || scopes.includes('report');
  if (user === null && ofAccount && !scopes.includes('admin'))
    problems.push('a key that sends or reports needs the account that it is for');
  if (user !== null && scopes.includes('admin')) problems.push('an admin key is for all accounts, not for one');
  if (user !== null && !/^[A-Za-z0-9_.-]{1,64}$/.test(user)) problems.push('a user is 1 to 64 of A-Z a-z 0-9 _ . -');
  if (operator !== null && !scopes.includes('receipts'))
    problems.push('only a key with the scope receipts is bound to an operator');
  if (expires_at !== null && expires_at <= nowMs) problems.push('the expiry lies in the past');
  if (parseAddresses(allow) === null)
    problems.push('an allowed address is an IP address or a network such as 10.0.0.0/8');
  if (rate !== undefined && rate !== null) {
    if (!scopes.includes('send')) problems.push('only a key with the scope send has a rate');
    if (!(Number.isInteger(rate) && rate >= 1 && rate <= RATE_MAX))
      problems.push(`a rate is a whole number of messages a second from 1 to ${RATE_MAX}`);
  }
  if (note.length > 100) problems.push('a note has at most 100 characters');
  return problems;
}

/** Makes a key and keeps its record; durable when it resolves. The wish must have no problems. Answers the key, for once. */
export async function createKey(
  redis: Redis,
  wish: NewKey,
  nowMs: number,
): Promise<{ key: string; record: KeyRecord }> {
  const id = randomBytes(ID_BYTES).toString('hex');
  const key = `jsms_${id}_${randomBytes(SECRET_BYTES).toString('hex')}`;
  const record: KeyRecord = { id, hash: hashOf(key).toString('hex'), ...wish, created_at: nowMs, revoked_at: null };
  if ((await redis.hsetnx(KEYS, id, JSON.stringify(record))) === 0) return createKey(redis, wish, nowMs);
  return { key, record };
}

/** A record as Redis has it now; null for an unknown id. */
export async function readKey(redis: Redis, id: string): Promise<KeyRecord | null> {
  const value = await redis.hget(KEYS, id);
  return value === null ? null : (JSON.parse(value) as KeyRecord);
}

/** All keys, newest first. Those that ended long ago are forgotten on this occasion. */
export async function listKeys(redis: Redis, nowMs: number): Promise<KeyRecord[]> {
  const all = Object.values(await redis.hgetall(KEYS)).map((value) => JSON.parse(value) as KeyRecord);
  const endedAt = ({ revoked_at, expires_at }: KeyRecord): number =>
    Math.min(revoked_at ?? Number.POSITIVE_INFINITY, expires_at ?? Number.POSITIVE_INFINITY);
  const old = all.filter((record) => nowMs - endedAt(record) > KEPT_MS);
  if (old.length > 0) await redis.hdel(KEYS, ...old.map(({ id }) => id));
  return all.filter((record) => !old.includes(record)).sort((a, b) => b.created_at - a.created_at);
}

/** Ends a key for good; every process refuses it within 5 s. False for an unknown id; the first revocation's time stays. */
export async function revokeKey(redis: Redis, id: string, nowMs: number): Promise<boolean> {
  const record = await readKey(redis, id);
  if (record === null) return false;
  if (record.revoked_at === null) await redis.hset(KEYS, id, JSON.stringify({ ...record, revoked_at: nowMs }));
  return true;
}
