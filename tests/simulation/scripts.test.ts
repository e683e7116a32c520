/** The simulation's Redis and its Lua beside a real Redis: the same calls must give the same answers and leave the same keys. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { loadScripts, type ScriptName, type Scripts, TIMES } from '../../billing/scripts.ts';
import type { Redis } from '../../shared/redis.ts';
import { type OwnRedis, startOwnRedis } from '../billing/own-redis.ts';
import { SHARDS, TAGS } from '../support/shards.ts';
import { compileLua } from './lua.ts';
import { argumentOf } from './lua-runtime.ts';
import { createMemoryRedis, type Dumped, type MemoryRedis, type Reply } from './memory-redis.ts';
import { createRandom, type Random } from './random.ts';

/** A clock that the test moves, in both. */
const CLOCK = `local function now_ms() return tonumber(redis.call('GET', 'test:now')) end`;
const START = 1_800_000_000_000;
const TAG = TAGS[3] as string;
const times = { ...TIMES, retryWaitsMs: [500, 2_000, 9_000] };

let own: OwnRedis;
let real: Scripts;
beforeAll(async () => {
  own = await startOwnRedis();
  real = loadScripts(own.redis, SHARDS, times, CLOCK);
  // Durability is not the question here.
  await own.redis.config('SET', 'appendfsync', 'no');
}, 30_000);
afterAll(() => own.close());

function simulated(memory: MemoryRedis): Scripts {
  const connection: Record<string, unknown> = {
    status: 'ready',
    defineCommand: (name: string, { lua }: { lua: string }) => {
      const script = compileLua(lua, memory.call);
      connection[name] = async (tag: string, ...args: unknown[]) => script([tag], args.map(argumentOf));
    },
  };
  return loadScripts(connection as unknown as Redis, SHARDS, times, CLOCK);
}

/** An idempotency key's value is JSON, whose members cjson writes in an order of its own. */
const readable = (value: string): unknown => (/^[{[]/.test(value) ? JSON.parse(value) : value);
type Kept = Record<string, { kind: string; value: unknown; leaving: boolean }>;

function keptBy(dump: ReadonlyMap<string, Dumped>): Kept {
  const kept: Kept = {};
  for (const [key, { kind, value, ttl }] of dump)
    kept[key] = {
      kind,
      value: typeof value === 'string' ? readable(value) : Object.fromEntries(value),
      leaving: ttl >= 0,
    };
  return kept;
}

const DUMP = `
  local out = {}
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local kind, value = redis.call('TYPE', key).ok, nil
    if kind == 'hash' then value = redis.call('HGETALL', key)
    elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    else value = redis.call('GET', key) end
    if string.find(key, ':m:', 1, true) then value = cjson.encode(cmsgpack.unpack(value)) end
    if string.find(key, ':forgotten', 1, true) then
      for i = 1, #value, 2 do value[i] = cjson.encode(cmsgpack.unpack(value[i])) end
    end
    out[#out + 1] = { key, kind, redis.call('PTTL', key), value }
  end
  return out`;

async function realDump(): Promise<Map<string, Dumped>> {
  const rows = (await own.redis.eval(DUMP, 0)) as [string, string, number, string | string[]][];
  return new Map(
    rows.map(([key, kind, ttl, value]): [string, Dumped] => {
      if (typeof value === 'string') return [key, { kind, value, ttl }];
      const pairs = value.flatMap((name, i) => (i % 2 === 0 ? [[name, value[i + 1]] as [string, string]] : []));
      return [key, { kind, value: pairs, ttl }];
    }),
  );
}

type World = { now: number; ids: string[] };
type Call = [name: ScriptName, ...args: (string | number | Buffer)[]];

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');
function idOf(random: Random, ms: number): string {
  const time = hex(ms, 12);
  const tail = `${hex(random.between(0, 0xffffff), 6)}${hex(random.between(0, 0xffffff), 6)}`;
  return `${time.slice(0, 8)}-${time.slice(8)}-7abc-8def-${tail}`;
}

const some = <T>(random: Random, most: number, make: () => T): T[] =>
  Array.from({ length: random.between(0, most) }, make);
const idIn = (random: Random, { ids }: World): string => random.pick(ids) ?? idOf(random, START);
const confirmed = (random: Random, world: World) =>
  some(random, 2, () => [idIn(random, world), random.between(0, 3)]).flat();

/** A hold's arguments: events stand beside the JSON, which says of each where. */
function holdArgs(random: Random, world: World): [json: string, events: Buffer] {
  let events = Buffer.alloc(0);
  const items: (string | number)[] = [];
  const groups = some(random, 2, () => {
    const count = random.between(0, 3);
    for (let i = 0; i < count; i += 1) {
      const again = random.chance(0.1) && world.ids.length > 0;
      const id = again
        ? random.pick(world.ids)
        : idOf(random, world.now - random.pick([0, 0, 0, 60_000, 60_001, -60_001]));
      world.ids.push(id);
      const validUntil = world.now + random.pick([1_000, 20_000, 60_000]);
      const first = events.length + 1;
      events = Buffer.concat([events, Buffer.from(`{"id":"${id}","text":"سلام"}`)]);
      items.push(id, random.between(1, 60), validUntil, first, events.length, `{"message_id":"${id}"}`);
    }
    return [
      random.pick(['u1', 'u2']),
      random.pick(['', 'k1', 'k2']),
      random.pick(['h1', 'h2']),
      'batch',
      'refused',
      count,
    ];
  });
  return [JSON.stringify([some(random, 2, () => idIn(random, world)), groups.flat(), items]), events];
}

function claimArg(random: Random, world: World): unknown {
  const item = () => [
    ...[idIn(random, world), random.between(1, 3), random.between(1, 2)],
    ...['MCI', random.between(0, 1), random.pick([0, 2_000, 60_000])],
  ];
  return [
    random.pick(['one', 'two']),
    random.pick([500, 5_000]),
    confirmed(random, world),
    some(random, 3, item).flat(),
  ];
}

function settleArg(random: Random, world: World): unknown {
  const item = () => [
    ...[idIn(random, world), random.between(1, 3), random.between(1, 2), random.between(0, 4)],
    ...[random.pick(['MCI', 'MTN']), random.pick(['', 'x', 'x\ny']), random.pick([0, 0, 7])],
    ...[random.pick(['', 'http_503']), random.pick(['', 'fallback', 'fallback,partial'])],
  ];
  return [random.pick(['one', 'two']), confirmed(random, world), some(random, 3, item).flat()];
}

const KINDS = ['topup', 'confirm', 'sweep', 'relay', ...Array(2).fill('hold'), ...Array(3).fill('claim')] as const;

function callOf(random: Random, world: World): Call {
  const kind = random.pick([...KINDS, ...Array(3).fill('settle')]) as ScriptName;
  if (kind === 'hold') return [kind, ...holdArgs(random, world)];
  if (kind === 'claim') return [kind, JSON.stringify(claimArg(random, world))];
  if (kind === 'settle') return [kind, JSON.stringify(settleArg(random, world))];
  if (kind === 'confirm') return [kind, JSON.stringify(confirmed(random, world))];
  if (kind === 'sweep') return [kind, random.pick(['one', 'two']), 5_000, random.between(1, 5)];
  if (kind === 'relay')
    return [
      ...[kind, random.pick(['one', 'two']), 5_000, random.between(1, 5)],
      ...[world.now - random.pick([0, 1_000, 40_000]), world.now + random.between(-40_000, 1_000)],
    ] as Call;
  const [key, hash] = [random.pick(['', 't1']), random.pick(['h1', 'h2'])];
  const transaction = ['{"kind":"topup"}', 8_000_000_000_000_000] as const;
  return [
    kind,
    random.pick(['u1', 'u2']),
    idOf(random, world.now),
    random.between(-100, 400),
    key,
    hash,
    ...transaction,
  ];
}

/** JSON as texts: the two write an object's members in an order of their own. */
const told = (answer: unknown): unknown =>
  typeof answer === 'string' && /^[{[]/.test(answer) ? JSON.parse(answer) : answer;

test('random calls of every script answer and leave the same in a real Redis and in the simulated one', async () => {
  for (const seed of [1, 2, Date.now()]) {
    const random = createRandom(seed);
    const memory = createMemoryRedis(() => START);
    const scripts = simulated(memory);
    const world: World = { now: START, ids: [] };
    await own.redis.flushdb();
    for (let step = 0; step < 100; step += 1) {
      world.now += random.pick([0, 1, 400, 3_000, 5_000, 31_000]);
      memory.call('SET', ['test:now', String(world.now)]);
      await own.redis.set('test:now', world.now);
      const [name, ...args] = callOf(random, world);
      const answers = await Promise.all([real[name](TAG, ...args), scripts[name](TAG, ...args)]);
      expect({ seed, step, name, args, answer: told(answers[1]) }).toEqual({
        ...{ seed, step, name, args, answer: told(answers[0]) },
      });
      expect(keptBy(memory.dump())).toEqual(keptBy(await realDump()));
    }
  }
}, 60_000);

const run = (lua: string): Reply => compileLua(lua, createMemoryRedis(() => START).call)(['key'], ['7', 'b']);

test('compiled Lua is Lua', async () => {
  const programs = [
    `return { 1, 2.9, 'x', true, false, 4 }`,
    `return { 1, nil, 3 }`,
    `local a, b = 1 return { a, b }`,
    `local function two() return 1, 2 end local t = { two(), two() } return t`,
    `local function two() return 1, 2 end local a, b, c = two() return { a, b, c and 1 or 0 }`,
    `local x = 1 local x = x + 1 do local x = 9 end return x`,
    `local t = { 5, 6 } for i, v in ipairs(t) do t[i] = v * i end t[#t + 1] = 0 return t`,
    `local sum = 0 for i = 1, 3 do sum = sum + i end return sum`,
    `return { 0 and 1, '' and 2, nil and 3 or 4, false or 5, not nil and 6 }`,
    `return { 'a' .. 1, '10' + 5, 7 % 3, -7 % 3, string.sub('abcdef', -3), string.sub('abc', 2, 2) }`,
    `return { tonumber('12'), tonumber('x') or 'none', tonumber('ff', 16), math.min(3, 2), math.floor(2.7) }`,
    `local w = {} for one in string.gmatch('a,b,,c', '[^,]+') do w[#w + 1] = one end return w`,
    `return { string.find(',a,b,', ',b,', 1, true), string.format('%d', 1e15), string.format('%d', -7) }`,
    `return cjson.decode(cjson.encode({ hash = 'h', list = { 'x', '' } })).list`,
    `return { KEYS[1], ARGV[1], ARGV[2], ARGV[3] }`,
    `return redis.call('TIME')[3] == nil and #redis.call('TIME')`,
    `return { redis.call('HGET', 'no', 'no'), redis.call('HMGET', 'no', 'a', 'b') }`,
  ];
  for (const lua of programs)
    expect({ lua, is: run(lua) }).toEqual({ lua, is: (await own.redis.eval(lua, 1, 'key', '7', 'b')) as Reply });
});

test('Lua that the simulation does not know is refused, not guessed', () => {
  const programs = [
    'return os.time()',
    'x = 1',
    `return ('x'):upper()`,
    `return string.upper('x')`,
    `return redis.pcall('GET', 'x')`,
    `return redis.call('INCR', 'x')`,
    `return string.format('%.0f', 1)`,
    `return #'text'`,
    `return 1 < '2'`,
    `return nil .. 'x'`,
    `return ({})['a']['b']`,
    `for i = 3, 1, -1 do end`,
    `return string.gmatch('a', '.')`,
  ];
  for (const lua of programs) expect(() => run(lua)).toThrow();
});
