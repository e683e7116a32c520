/**
 * Keys as this process knows them: a bounded cache, so that a request with a known key costs no hop, and one with an invented
 * key cannot fill the memory. What was read is believed for less than 5 s, so a revoked key is refused by then everywhere.
 */
import { type Addresses, parseAddresses } from './addresses.ts';
import { within } from './deadline.ts';
import { AppError } from './error.ts';
import type { KeyRecord, Scope } from './keys.ts';

/** How long a reading is believed, counted from when it was asked for. */
const GOOD_MS = 4_000;
/** Past this a key in use is read again beside the request, so that a busy key never waits for its reading. */
const RENEW_AFTER_MS = 2_000;
/** How long an unknown id is believed to be unknown: a fresh key works after that, whoever tried it before. */
const UNKNOWN_GOOD_MS = 1_000;
const KEYS_MAX = 10_000;
const UNKNOWN_MAX = 10_000;
/** Readings on their way for requests; past it they are refused with 503: a flood of invented ids is no load on Redis. */
const READINGS_MAX = 256;
const READ_WITHIN_MS = 1_000;

/** A key's record, made ready to be compared. */
export type KnownKey = {
  record: KeyRecord;
  hash: Buffer;
  scopes: ReadonlySet<Scope>;
  /** Null: any address. */
  allow: Addresses | null;
};

export type KeyCache = {
  /** At once where it is known, else by Redis. Null for an unknown id. Rejects with `unavailable` when Redis does not answer. */
  find(id: string): KnownKey | null | Promise<KnownKey | null>;
  /** Entries in memory, for the metrics and the tests. */
  readonly size: number;
};

type Entry<T> = { value: T; readAt: number; renewing: boolean };

const known = (record: KeyRecord): KnownKey => ({
  record,
  hash: Buffer.from(record.hash, 'hex'),
  scopes: new Set(record.scopes),
  // A list that cannot be read lets nobody in.
  allow: record.allow.length === 0 ? null : (parseAddresses(record.allow) ?? (() => false)),
});

function remember<T>(map: Map<string, T>, id: string, value: T, max: number): void {
  map.delete(id);
  map.set(id, value);
  if (map.size > max) map.delete(map.keys().next().value as string);
}

/**
 * @param read the record of an id as Redis has it now
 * @param now monotonic milliseconds
 */
export function createKeyCache(
  read: (id: string) => Promise<KeyRecord | null>,
  now: () => number = () => performance.now(),
): KeyCache {
  const keys = new Map<string, Entry<KnownKey>>();
  const unknown = new Map<string, number>();
  const readings = new Map<string, Promise<KnownKey | null>>();

  const load = async (id: string): Promise<KnownKey | null> => {
    const askedAt = now();
    const record = await within(READ_WITHIN_MS, read(id), 'Redis did not answer in time');
    if (record === null) {
      keys.delete(id);
      remember(unknown, id, askedAt, UNKNOWN_MAX);
      return null;
    }
    unknown.delete(id);
    const value = known(record);
    remember(keys, id, { value, readAt: askedAt, renewing: false }, KEYS_MAX);
    return value;
  };
  const renew = (id: string, entry: Entry<KnownKey>): void => {
    entry.renewing = true;
    load(id).catch(() => {
      entry.renewing = false;
    });
  };
  const ask = (id: string): Promise<KnownKey | null> => {
    const asked = readings.get(id);
    if (asked) return asked;
    const failed = (cause?: unknown): AppError =>
      new AppError('unavailable', 'Keys cannot be checked at the moment; nothing was done.', { cause });
    if (readings.size >= READINGS_MAX) return Promise.reject(failed());
    const reading = load(id)
      .catch((thrown) => {
        throw failed(thrown);
      })
      .finally(() => readings.delete(id));
    readings.set(id, reading);
    return reading;
  };

  return {
    find: (id) => {
      const entry = keys.get(id);
      if (entry !== undefined) {
        const age = now() - entry.readAt;
        if (age < GOOD_MS) {
          if (age >= RENEW_AFTER_MS && !entry.renewing) renew(id, entry);
          return entry.value;
        }
        keys.delete(id);
      } else if (now() - (unknown.get(id) ?? Number.NEGATIVE_INFINITY) < UNKNOWN_GOOD_MS) return null;
      return ask(id);
    },
    get size() {
      return keys.size + unknown.size;
    },
  };
}
