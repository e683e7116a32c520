/**
 * The Redis of the simulation: the commands that billing's scripts and billing itself use, and no other, over the simulated
 * clock. What it answers is held against a real Redis by scripts.test.ts.
 */

type Hash = { kind: 'hash'; fields: Map<string, string> };
type Zset = { kind: 'zset'; scores: Map<string, number> };
type Text = { kind: 'string'; value: string };
type Entry = (Hash | Zset | Text) & { expiresAt: number };

/** As scripts see it: a bulk string, an integer, nil, a list. */
export type Reply = string | number | null | Reply[];

export type Dumped = { kind: string; value: string | [string, string][]; ttl: number };

export type MemoryRedis = {
  /** One command, as a script calls it. Throws for a command that the simulation does not know. */
  call(command: string, args: readonly string[]): Reply;
  /** Every key that has not expired, sorted, with its content: for comparisons and checks. */
  dump(): Map<string, Dumped>;
  /** Members of a sorted set with their scores; empty when there is no such key. */
  scores(key: string): ReadonlyMap<string, number>;
  fields(key: string): ReadonlyMap<string, string>;
  keys(): string[];
};

const WRONG_TYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value';
const NOTHING: ReadonlyMap<string, never> = new Map<string, never>();

/** @param now the simulated clock, epoch milliseconds */
export function createMemoryRedis(now: () => number): MemoryRedis {
  const data = new Map<string, Entry>();

  const find = (key: string): Entry | undefined => {
    const entry = data.get(key);
    if (entry === undefined || entry.expiresAt > now()) return entry;
    data.delete(key);
    return undefined;
  };
  const hashAt = (key: string): Hash | undefined => {
    const entry = find(key);
    if (entry !== undefined && entry.kind !== 'hash') throw new Error(WRONG_TYPE);
    return entry;
  };
  const hashFor = (key: string): Hash => {
    const found = hashAt(key);
    if (found) return found;
    const made: Hash & Entry = { kind: 'hash', fields: new Map(), expiresAt: Number.POSITIVE_INFINITY };
    data.set(key, made);
    return made;
  };
  const zsetAt = (key: string): Zset | undefined => {
    const entry = find(key);
    if (entry !== undefined && entry.kind !== 'zset') throw new Error(WRONG_TYPE);
    return entry;
  };
  const zsetFor = (key: string): Zset => {
    const found = zsetAt(key);
    if (found) return found;
    const made: Zset & Entry = { kind: 'zset', scores: new Map(), expiresAt: Number.POSITIVE_INFINITY };
    data.set(key, made);
    return made;
  };
  const setText = (key: string, value: string, expiresAt = Number.POSITIVE_INFINITY): void =>
    void data.set(key, { kind: 'string', value, expiresAt });
  /** Redis knows no empty hash and no empty sorted set. */
  const dropEmpty = (key: string, size: number): void => {
    if (size === 0) data.delete(key);
  };
  const integer = (text: string | undefined): number => {
    const n = Number(text);
    if (text === undefined || text === '' || !Number.isSafeInteger(n))
      throw new Error('ERR value is not an integer or out of range');
    return n;
  };
  const score = (text: string | undefined): number => {
    if (text === '-inf') return Number.NEGATIVE_INFINITY;
    if (text === '+inf') return Number.POSITIVE_INFINITY;
    const n = Number(text);
    if (text === undefined || text === '' || Number.isNaN(n)) throw new Error('ERR value is not a valid float');
    return n;
  };

  const commands: Record<string, (args: readonly string[]) => Reply> = {
    TIME: () => {
      const ms = now();
      return [String(Math.floor(ms / 1_000)), String((ms % 1_000) * 1_000)];
    },
    GET: ([key = '']) => {
      const entry = find(key);
      if (entry === undefined) return null;
      if (entry.kind !== 'string') throw new Error(WRONG_TYPE);
      return entry.value;
    },
    MGET: (keys) =>
      keys.map((key) => {
        const entry = find(key);
        return entry?.kind === 'string' ? entry.value : null;
      }),
    MSET: (pairs) => {
      if (pairs.length === 0 || pairs.length % 2 === 1) throw new Error('ERR wrong number of arguments');
      for (let i = 0; i < pairs.length; i += 2) setText(pairs[i] as string, pairs[i + 1] as string);
      return 'OK';
    },
    SET: ([key = '', value = '', option, ms]) => {
      if (option !== undefined && option !== 'PX') throw new Error('ERR syntax error');
      const expiresAt = option === 'PX' ? now() + integer(ms) : Number.POSITIVE_INFINITY;
      setText(key, value, expiresAt);
      return 'OK';
    },
    DEL: (keys) => keys.reduce((count, key) => count + (find(key) !== undefined && data.delete(key) ? 1 : 0), 0),
    EXISTS: (keys) => keys.reduce((count, key) => count + (find(key) === undefined ? 0 : 1), 0),
    HGET: ([key = '', field = '']) => hashAt(key)?.fields.get(field) ?? null,
    HMGET: ([key = '', ...fields]) => {
      const found = hashAt(key)?.fields;
      return fields.map((field) => found?.get(field) ?? null);
    },
    HSET: ([key = '', ...pairs]) => {
      if (pairs.length === 0 || pairs.length % 2 === 1) throw new Error('ERR wrong number of arguments');
      const { fields } = hashFor(key);
      const before = fields.size;
      for (let i = 0; i < pairs.length; i += 2) fields.set(pairs[i] as string, pairs[i + 1] as string);
      return fields.size - before;
    },
    HDEL: ([key = '', ...names]) => {
      const found = hashAt(key);
      if (found === undefined) return 0;
      const count = names.reduce((sum, name) => sum + (found.fields.delete(name) ? 1 : 0), 0);
      dropEmpty(key, found.fields.size);
      return count;
    },
    HINCRBY: ([key = '', field = '', by]) => {
      const { fields } = hashFor(key);
      const next = integer(fields.get(field) ?? '0') + integer(by);
      fields.set(field, String(next));
      return next;
    },
    HLEN: ([key = '']) => hashAt(key)?.fields.size ?? 0,
    HGETALL: ([key = '']) => [...(hashAt(key)?.fields ?? [])].flat(),
    ZADD: ([key = '', ...pairs]) => {
      if (pairs.length === 0 || pairs.length % 2 === 1) throw new Error('ERR syntax error');
      const { scores } = zsetFor(key);
      const before = scores.size;
      for (let i = 0; i < pairs.length; i += 2) scores.set(pairs[i + 1] as string, score(pairs[i]));
      return scores.size - before;
    },
    ZREM: ([key = '', ...members]) => {
      const found = zsetAt(key);
      if (found === undefined) return 0;
      const count = members.reduce((sum, member) => sum + (found.scores.delete(member) ? 1 : 0), 0);
      dropEmpty(key, found.scores.size);
      return count;
    },
    ZSCORE: ([key = '', member = '']) => {
      const at = zsetAt(key)?.scores.get(member);
      return at === undefined ? null : String(at);
    },
    ZCARD: ([key = '']) => zsetAt(key)?.scores.size ?? 0,
    ZRANGEBYSCORE: ([key = '', min, max, ...rest]) => {
      const withScores = rest[0] === 'WITHSCORES';
      const [limit, offset, count] = withScores ? rest.slice(1) : rest;
      if (limit !== undefined && limit !== 'LIMIT') throw new Error('ERR syntax error');
      const open = min?.startsWith('(') === true;
      const [least, most] = [score(open ? min?.slice(1) : min), score(max)];
      const all = [...(zsetAt(key)?.scores ?? [])].filter(([, at]) => (open ? at > least : at >= least) && at <= most);
      all.sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1));
      const from = limit === undefined ? 0 : integer(offset);
      const found = all.slice(from, limit === undefined ? undefined : from + integer(count));
      return withScores ? found.flatMap(([member, at]) => [member, String(at)]) : found.map(([member]) => member);
    },
  };

  const live = (): [string, Entry][] =>
    [...data.keys()]
      .sort()
      .map((key) => [key, find(key)] as const)
      .filter((pair): pair is [string, Entry] => pair[1] !== undefined);

  return {
    call: (command, args) => {
      const run = commands[command];
      if (run === undefined) throw new Error(`the simulation's Redis does not know ${command}`);
      return run(args);
    },
    dump: () =>
      new Map(
        live().map(([key, entry]): [string, Dumped] => {
          const ttl = Number.isFinite(entry.expiresAt) ? entry.expiresAt - now() : -1;
          if (entry.kind === 'string') return [key, { kind: entry.kind, value: entry.value, ttl }];
          const pairs: [string, string][] =
            entry.kind === 'hash' ? [...entry.fields] : [...entry.scores].map(([member, at]) => [member, String(at)]);
          return [key, { kind: entry.kind, value: pairs.sort(([a], [b]) => (a < b ? -1 : 1)), ttl }];
        }),
      ),
    scores: (key) => zsetAt(key)?.scores ?? NOTHING,
    fields: (key) => hashAt(key)?.fields ?? NOTHING,
    keys: () => live().map(([key]) => key),
  };
}
