/**
 * The coherence check of every money test: recounts the books from Redis itself, one shard at one instant, whatever is in
 * flight. What it asserts stands at any moment, under load and after any crash.
 */
import { expect } from 'bun:test';
import { Redis } from 'ioredis';
import type { Audit } from './api.ts';
import { until } from './poll.ts';
import { namedRecord } from './record.ts';
import { TAGS, tagOf } from './shards.ts';

type Fields = Record<string, string>;
export type Shard = {
  tag: string;
  accounts: Map<string, { available: number; held: number; posted: number; topped_up: number; open: number }>;
  records: Map<string, Fields>;
  /** Scores by id: epoch milliseconds. */
  outbox: Map<string, number>;
  due: Map<string, number>;
  /** When those go whose outcome Kafka has, by id. */
  leaving: Map<string, number>;
  /** Transaction ids of top-ups that nobody confirmed. */
  ledger: string[];
};

const READ_SHARD = `
  local out = {}
  for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*')) do
    local kind, value = redis.call('TYPE', key).ok, {}
    if kind == 'hash' then value = redis.call('HGETALL', key)
    elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    elseif string.find(key, ARGV[1] .. ':m:', 1, true) then value = cmsgpack.unpack(redis.call('GET', key)) end
    if key == ARGV[1] .. ':forgotten' then
      for i = 1, #value, 2 do value[i] = table.concat(cmsgpack.unpack(value[i]), ' ') end
    end
    out[#out + 1] = { string.sub(key, #ARGV[1] + 2), value }
  end
  return out`;

const pairs = (flat: string[]): [string, string][] =>
  flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] as string] as [string, string]] : []));

/** By id: a message may be named by several calls, and goes with the first. */
function leavingBy(calls: [ids: string, at: string][]): Map<string, number> {
  const leaving = new Map<string, number>();
  for (const [ids, at] of calls)
    for (const id of ids.split(' ')) leaving.set(id, Math.min(Number(at), leaving.get(id) ?? Number.POSITIVE_INFINITY));
  return leaving;
}

/** One shard as it is at one instant. */
export async function readShard(redis: Redis, tag: string): Promise<Shard> {
  const shard: Shard = {
    tag,
    accounts: new Map(),
    records: new Map(),
    outbox: new Map(),
    due: new Map(),
    leaving: new Map(),
    ledger: [],
  };
  const rows = (await redis.eval(READ_SHARD, 0, tag)) as [string, string[]][];
  for (const [name, flat] of rows) {
    if (name.startsWith('m:')) {
      shard.records.set(name.slice(2), namedRecord(flat));
      continue;
    }
    const fields = pairs(flat);
    if (name === 'forgotten') shard.leaving = leavingBy(fields);
    else if (name === 'outbox' || name === 'due') for (const [id, at] of fields) shard[name].set(id, Number(at));
    else if (name === 'ledger') shard.ledger = fields.map(([id]) => id);
    else if (name.startsWith('a:')) {
      const account = { available: 0, held: 0, posted: 0, topped_up: 0, open: 0 };
      for (const [field, value] of fields) account[field as keyof typeof account] = Number(value);
      shard.accounts.set(name.slice(2), account);
    }
  }
  return shard;
}

const OPEN: ReadonlySet<string> = new Set(['held', 'claimed', 'unknown']);
const ATTEMPTS_MAX = 4;

function faultsOfRecords({ tag, accounts, records, due, leaving }: Shard): string[] {
  const faults: string[] = [];
  for (const [id, { user = '', state = '', price, posted, attempt, version, published, event }] of records) {
    const fault = (what: string): void => void faults.push(`${tag} message ${id} (${state}): ${what}`);
    if (!accounts.has(user)) fault('its account is not in its shard');
    if (tagOf(user) !== tag) fault('it is in the wrong shard');
    if (!(Number(attempt) >= 1 && Number(attempt) <= ATTEMPTS_MAX)) fault(`attempt ${attempt}`);
    if (Number(published) > Number(version)) fault('more is published than was decided');
    if (OPEN.has(state)) {
      if (!due.has(id)) fault('nobody will ever look at it');
      if (leaving.has(id)) fault('an open record is being forgotten');
      if (!event) fault('an open record without its event');
    } else if (state === 'sent' || state === 'failed') {
      if (due.has(id) === leaving.has(id)) fault('it is neither to be published nor being forgotten, or both');
      const paid = Number(posted);
      if (!(state === 'sent' ? paid > 0 && paid <= Number(price) : paid === 0)) fault(`posted ${posted} of ${price}`);
    } else fault('no such state');
  }
  for (const id of due.keys()) if (!records.has(id)) faults.push(`${tag} due ${id}: there is no such record`);
  return faults;
}

/** What is wrong with a shard's books, a sentence each; none when they are coherent. Pure. */
export function faultsOf(shard: Shard): string[] {
  const faults = faultsOfRecords(shard);
  for (const [user, { available, held, posted, topped_up, open }] of shard.accounts) {
    const own = [...shard.records.values()].filter((record) => record.user === user);
    const sum = (field: 'price' | 'posted', states: ReadonlySet<string>): number =>
      own.reduce((total, record) => total + (states.has(record.state ?? '') ? Number(record[field]) : 0), 0);
    const count = own.filter(({ state }) => OPEN.has(state ?? '')).length;
    const fault = (what: string): void => void faults.push(`${shard.tag} account ${user}: ${what}`);
    for (const [name, n] of Object.entries({ available, held, posted, topped_up, open })) {
      if (!Number.isSafeInteger(n) || n < 0) fault(`${name} is ${n}`);
    }
    if (topped_up !== available + held + posted)
      fault(`${topped_up} in, ${available} + ${held} + ${posted} accounted for`);
    if (held !== sum('price', OPEN)) fault(`held ${held}, its open records say ${sum('price', OPEN)}`);
    if (open !== count) fault(`open ${open}, its records say ${count}`);
    if (posted < sum('posted', new Set(['sent']))) fault('its sent messages posted more than the account');
  }
  return faults;
}

const isDrained = ({ accounts, outbox, ledger }: Shard): boolean =>
  [...accounts.values()].every(({ open }) => open === 0) && outbox.size === 0 && ledger.length === 0;

export type CoherenceOptions = {
  /** Billing's HTTP address: each account's audit must say the same and, within `withinMs`, be balanced with PostgreSQL. */
  auditUrl?: string;
  /** Nothing may be on its way: no open message, an empty outbox, an empty ledger outbox. */
  drained?: boolean;
  withinMs?: number;
};

async function assertAudited(shard: Shard, auditUrl: string, withinMs: number): Promise<void> {
  for (const [user, { open, ...books }] of shard.accounts) {
    const audit = await until(
      `the audit of ${user} is balanced`,
      async () => {
        const found = (await (await fetch(`${auditUrl}/audit/${user}`)).json()) as Audit;
        if (!found.balanced) throw new Error(JSON.stringify(found));
        return found;
      },
      { withinMs },
    );
    expect(audit.redis).toEqual({ ...books, open_holds: open });
  }
}

/** Recounts all shards and asserts that they are coherent; answers them for further questions. */
export async function assertCoherent(
  redisUrl: string,
  { auditUrl, drained = false, withinMs = 20_000 }: CoherenceOptions = {},
): Promise<Shard[]> {
  const redis = new Redis(redisUrl, { lazyConnect: true, maxRetriesPerRequest: 1 });
  try {
    await redis.connect();
    const read = () => Promise.all(TAGS.map((tag) => readShard(redis, tag)));
    // That Kafka has a message is told to Redis a little later than its outcome is.
    if (drained) await until('nothing is on its way', async () => (await read()).every(isDrained), { withinMs });
    const shards = await read();
    expect(shards.flatMap(faultsOf)).toEqual([]);
    if (auditUrl !== undefined) for (const shard of shards) await assertAudited(shard, auditUrl, withinMs);
    return shards;
  } finally {
    redis.disconnect();
  }
}

/** Asserts that every record of a message is being forgotten; answers their keys. */
export async function assertLeaving(redis: Redis): Promise<string[]> {
  const keys: string[] = [];
  for (const tag of TAGS) {
    const { records, leaving } = await readShard(redis, tag);
    expect([...records.keys()].filter((id) => !leaving.has(id))).toEqual([]);
    for (const id of records.keys()) keys.push(`${tag}:m:${id}`);
  }
  return keys;
}
