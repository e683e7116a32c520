/**
 * Ported numbers that were learned or entered: number → operator, in Redis, and in the memory of every process that routes.
 * A lookup costs no hop; a change reaches the other processes within a second through a stream of changes.
 *
 *   ported:numbers   hash    E.164 -> "operator,until,source,at" (epoch ms; until 0: for good)
 *   ported:changes   stream  phone, value ('' when it was removed), trimmed
 */
import { errorFields, type Log } from './log.ts';
import { defineScript, type Redis } from './redis.ts';

const NUMBERS = 'ported:numbers';
const CHANGES = 'ported:changes';
const CHANGES_KEPT = 10_000;
const LOOK_EVERY_MS = 1_000;
const SCAN_COUNT = 5_000;
const FOLLOW_COUNT = 1_000;
/** Before the first change. */
const NOTHING = '0-0';

export type PortedEntry = {
  operator: string;
  /** Epoch milliseconds; null: for good. */
  until: number | null;
  source: 'learned' | 'entered' | 'imported';
  at: number;
};

export type PortedNumbers = {
  /** The operator of a ported number; undefined when it is not known as ported. */
  operatorOf(phone: string): string | undefined;
  entry(phone: string): PortedEntry | undefined;
  /** Durable when it resolves. */
  set(phone: string, entry: PortedEntry): Promise<void>;
  /** False when there was none. */
  remove(phone: string): Promise<boolean>;
  readonly size: number;
  close(): void;
};

const encode = ({ operator, until, source, at }: PortedEntry): string => `${operator},${until ?? 0},${source},${at}`;

function decode(value: string): PortedEntry | null {
  const [operator = '', until = '0', source = 'entered', at = '0'] = value.split(',');
  if (operator === '') return null;
  return {
    operator,
    until: until === '0' ? null : Number(until),
    source: source as PortedEntry['source'],
    at: Number(at),
  };
}

/** Drops an entry only where it still is the one that was read: another process may have renewed it meanwhile. */
const DROP = `if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end return 0`;

/** Writes many entries with few round trips; for the import command. */
export async function importPorted(
  redis: Redis,
  entries: readonly (readonly [phone: string, entry: PortedEntry])[],
): Promise<void> {
  for (let from = 0; from < entries.length; from += 1_000) {
    const piece = entries.slice(from, from + 1_000);
    const multi = redis.multi();
    multi.hset(NUMBERS, Object.fromEntries(piece.map(([phone, entry]) => [phone, encode(entry)])));
    for (const [phone, entry] of piece)
      multi.xadd(CHANGES, 'MAXLEN', '~', CHANGES_KEPT, '*', 'phone', phone, 'value', encode(entry));
    await executed(multi);
  }
}

type Transaction = ReturnType<Redis['multi']>;

/** Runs a transaction and answers its commands' replies; throws what any of them was refused with. */
async function executed(multi: Transaction): Promise<unknown[]> {
  const replies = (await multi.exec()) ?? [];
  return replies.map(([error, reply]) => {
    if (error) throw error;
    return reply;
  });
}

type StreamEntry = [id: string, fields: string[]];

/** Loads all ported numbers and follows their changes. Throws when Redis does not answer at the start. */
export async function openPorted(redis: Redis, log: Log): Promise<PortedNumbers> {
  const drop = defineScript(redis, 'jsms_drop_ported', DROP);
  let numbers = new Map<string, PortedEntry>();
  let seen = NOTHING;

  const isPast = ({ until }: PortedEntry): boolean => until !== null && until <= Date.now();
  const forget = (map: Map<string, PortedEntry>, phone: string, found: PortedEntry): void => {
    map.delete(phone);
    drop(NUMBERS, phone, encode(found)).catch((thrown) => log.debug('ported_number_not_dropped', errorFields(thrown)));
  };
  const apply = (map: Map<string, PortedEntry>, phone: string, value: string): void => {
    const entry = decode(value);
    if (entry === null) map.delete(phone);
    else map.set(phone, entry);
  };
  const load = async (): Promise<void> => {
    // The stream's end is read first: what changes while the numbers are read is read again from there.
    const [last] = (await redis.xrevrange(CHANGES, '+', '-', 'COUNT', 1)) as StreamEntry[];
    const map = new Map<string, PortedEntry>();
    let cursor = '0';
    do {
      const [next, fields] = await redis.hscan(NUMBERS, cursor, 'COUNT', SCAN_COUNT);
      for (let i = 0; i < fields.length; i += 2) apply(map, fields[i] as string, fields[i + 1] as string);
      cursor = next;
    } while (cursor !== '0');
    // Nobody may ever ask for a number again; what is past its time is dropped here at the latest.
    for (const [phone, found] of map) if (isPast(found)) forget(map, phone, found);
    numbers = map;
    seen = last?.[0] ?? NOTHING;
  };
  const follow = async (): Promise<void> => {
    if (redis.status !== 'ready') return;
    for (;;) {
      // At one instant: what was trimmed before it was read shows by the oldest that is left.
      const [oldest, changes, length] = (await executed(
        redis
          .multi()
          .xrange(CHANGES, '-', '+', 'COUNT', 1)
          .xrange(CHANGES, `(${seen}`, '+', 'COUNT', FOLLOW_COUNT)
          .xlen(CHANGES),
      )) as [StreamEntry[], StreamEntry[], number];
      const first = oldest[0]?.[0];
      const isTrimmed = seen === NOTHING ? length >= CHANGES_KEPT : first !== undefined && isBefore(seen, first);
      if (isTrimmed) return load();
      for (const [id, [, phone, , value]] of changes) {
        apply(numbers, phone as string, value as string);
        seen = id;
      }
      if (changes.length < FOLLOW_COUNT) return;
    }
  };

  await load();
  let following = false;
  const timer = setInterval(() => {
    if (following) return;
    following = true;
    follow()
      .catch((thrown) => log.debug('ported_numbers_not_followed', errorFields(thrown)))
      .finally(() => {
        following = false;
      });
  }, LOOK_EVERY_MS);

  const entry = (phone: string): PortedEntry | undefined => {
    const found = numbers.get(phone);
    if (found === undefined || !isPast(found)) return found;
    forget(numbers, phone, found);
    return undefined;
  };
  const write = async (phone: string, value: string): Promise<number> => {
    const multi = redis.multi();
    if (value === '') multi.hdel(NUMBERS, phone);
    else multi.hset(NUMBERS, phone, value);
    multi.xadd(CHANGES, 'MAXLEN', '~', CHANGES_KEPT, '*', 'phone', phone, 'value', value);
    return (await executed(multi))[0] as number;
  };
  return {
    operatorOf: (phone) => (numbers.size === 0 ? undefined : entry(phone)?.operator),
    entry,
    set: async (phone, next) => {
      await write(phone, encode(next));
      numbers.set(phone, next);
    },
    remove: async (phone) => {
      // Redis knows: another process may have entered it a moment ago.
      const removed = await write(phone, '');
      numbers.delete(phone);
      return removed > 0;
    },
    get size() {
      return numbers.size;
    },
    close: () => clearInterval(timer),
  };
}

/** Compares stream ids, `<ms>-<sequence>`. */
function isBefore(a: string, b: string): boolean {
  const [aMs = 0, aSeq = 0] = a.split('-').map(Number);
  const [bMs = 0, bSeq = 0] = b.split('-').map(Number);
  return aMs < bMs || (aMs === bMs && aSeq < bSeq);
}
