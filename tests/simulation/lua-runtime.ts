/** What compiled Lua runs on: tables, the operators that are not JavaScript's, and the libraries that the scripts use. */
import type { Reply } from './memory-redis.ts';

/** nil is undefined. */
export type LuaValue = undefined | boolean | number | string | LuaTable | LuaFunction;
export type LuaFunction = (...args: LuaValue[]) => LuaValue[] | undefined;

const fault = (sentence: string): never => {
  throw new Error(`Lua: ${sentence}`);
};

/** A list from 1 and a map beside it, as Lua's tables are inside. */
export class LuaTable {
  readonly list: LuaValue[] = [];
  readonly map = new Map<LuaValue, LuaValue>();

  get(key: LuaValue): LuaValue {
    return typeof key === 'number' && key >= 1 && key <= this.list.length ? this.list[key - 1] : this.map.get(key);
  }
  set(key: LuaValue, value: LuaValue): this {
    if (key === undefined) fault('table index is nil');
    if (typeof key === 'number' && key >= 1 && key <= this.list.length) {
      if (value === undefined && key === this.list.length) this.list.pop();
      else this.list[key - 1] = value;
    } else if (key === this.list.length + 1) {
      if (value !== undefined) this.list.push(value);
      if (this.map.size > 0 && this.map.has(key + 1)) fault('a list that is filled from its end');
    } else if (value === undefined) this.map.delete(key);
    else this.map.set(key, value);
    return this;
  }
  /** A value of a constructor. */
  add(value: LuaValue): this {
    this.list.push(value);
    return this;
  }
  append(values: readonly LuaValue[]): this {
    this.list.push(...values);
    return this;
  }
}

/** From Redis to Lua: nil becomes false, a status a table with `ok`. */
export function luaOf(reply: Reply): LuaValue {
  if (reply === null) return false;
  if (!Array.isArray(reply)) return reply;
  const table = new LuaTable();
  for (const item of reply) table.list.push(luaOf(item));
  return table;
}

/** From a script to its caller: numbers lose their fraction, a list ends at its first nil, false is nil. */
export function replyOf(value: LuaValue): Reply {
  if (value === undefined || value === false) return null;
  if (value === true) return 1;
  if (typeof value === 'number') return Math.trunc(value);
  if (typeof value === 'string') return value;
  if (typeof value === 'function') return fault('a function as an answer');
  const end = value.list.indexOf(undefined);
  return (end < 0 ? value.list : value.list.slice(0, end)).map(replyOf);
}

const DECIMAL = /^-?\d{1,16}$/;

function toNumber(value: LuaValue): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') return undefined;
  if (DECIMAL.test(value)) return Number(value);
  return value.trim() === '' || Number.isNaN(Number(value)) ? undefined : fault(`the number ${value}`);
}
const number = (value: LuaValue): number => toNumber(value) ?? fault(`arithmetic on ${typeof value} ${String(value)}`);

/** As %.14g writes it; only of what both languages write alike. */
function text(value: LuaValue): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) >= 1e14)
    return fault(`${typeof value} ${String(value)} as text`);
  return String(value);
}

function compare(a: LuaValue, b: LuaValue): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0;
  return fault(`attempt to compare ${typeof a} with ${typeof b}`);
}

const isTable = (value: LuaValue): value is LuaTable => value instanceof LuaTable;

export const RUNTIME = {
  table: (): LuaTable => new LuaTable(),
  first: (values: LuaValue[] | undefined): LuaValue => (values === undefined ? undefined : values[0]),
  all: (values: LuaValue[] | undefined): LuaValue[] => values ?? [],
  truth: (value: LuaValue): boolean => value !== undefined && value !== false,
  number,
  modulo: (a: LuaValue, b: LuaValue): number => number(a) - Math.floor(number(a) / number(b)) * number(b),
  concat: (a: LuaValue, b: LuaValue): string => text(a) + text(b),
  lt: (a: LuaValue, b: LuaValue): boolean => compare(a, b) < 0,
  le: (a: LuaValue, b: LuaValue): boolean => compare(a, b) <= 0,
  gt: (a: LuaValue, b: LuaValue): boolean => compare(a, b) > 0,
  ge: (a: LuaValue, b: LuaValue): boolean => compare(a, b) >= 0,
  length: (value: LuaValue): number => (isTable(value) ? value.list.length : fault('the length of what is no table')),
  index: (base: LuaValue, key: LuaValue): LuaValue =>
    isTable(base) ? base.get(key) : fault(`attempt to index ${typeof base} with ${String(key)}`),
  write: (base: LuaValue, key: LuaValue, value: LuaValue): void =>
    void (isTable(base) ? base.set(key, value) : fault(`attempt to index ${typeof base} with ${String(key)}`)),
  count: (value: LuaValue): number => (typeof value === 'number' ? value : number(value)),
  step: (value: LuaValue): number => (typeof value === 'number' && value > 0 ? value : fault('a loop that goes down')),
  /** An argument of redis.call: Redis writes numbers as %.17g, so a whole one is its digits. */
  argument: (value: LuaValue): string => {
    if (typeof value === 'string') return value;
    return Number.isSafeInteger(value) ? String(value) : fault(`${typeof value} ${String(value)} for redis.call`);
  },
};

function* gmatch(subject: string, pattern: RegExp): Generator<LuaValue[]> {
  for (const match of subject.matchAll(pattern)) yield [match[0]];
}

/** string.sub's places: from 1, from the end when negative, both ends included. */
function sub(s: string, from: number, to: number): string {
  const start = from < 0 ? Math.max(s.length + from, 0) : Math.max(from - 1, 0);
  return s.slice(start, to < 0 ? s.length + to + 1 : to);
}

const BEYOND_ASCII = /[\u0080-\u00ff]/;
/** A script's argument as Lua sees it: bytes stand in a text as a character each; what is cut out of them is a text again. */
export const argumentOf = (arg: unknown): string => (Buffer.isBuffer(arg) ? arg.toString('latin1') : String(arg));
const textOf = (cut: string): string => (BEYOND_ASCII.test(cut) ? Buffer.from(cut, 'latin1').toString() : cut);

function encode(value: LuaValue): string {
  // cjson writes 14 digits.
  if (typeof value === 'number' && Math.abs(value) >= 1e14) fault(`the number ${value} in JSON`);
  if (!isTable(value)) return JSON.stringify(value);
  if (value.list.length > 0) return `[${value.list.map(encode).join(',')}]`;
  return `{${[...value.map].map(([key, one]) => `${JSON.stringify(String(key))}:${encode(one)}`).join(',')}}`;
}
function decode(value: unknown): LuaValue {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  if (value === null) return fault('null in JSON');
  const table = new LuaTable();
  if (Array.isArray(value)) table.list.push(...value.map(decode));
  else for (const [key, one] of Object.entries(value as object)) table.set(key, decode(one));
  return table;
}

/** What was packed lately: a record is unpacked and looked at many times for each time it is packed. */
const packed = new Map<string, readonly LuaValue[]>();
const PACKED_MAX = 5_000;

function remember(text: string, values: readonly LuaValue[]): readonly LuaValue[] {
  if (packed.size >= PACKED_MAX) packed.clear();
  packed.set(text, values);
  return values;
}

function pack({ list }: LuaTable): string {
  const text = JSON.stringify(list);
  if (list.some((value) => value === undefined || typeof value === 'object'))
    fault('a record of more than texts and numbers');
  remember(text, [...list]);
  return text;
}

/** The values of a packed list of texts and numbers; not to be written to. */
export function unpacked(text: string): readonly LuaValue[] {
  return packed.get(text) ?? remember(text, JSON.parse(text) as LuaValue[]);
}

/** By their whole names; each answers one value as it is, unpack a list of values. */
export const LIBRARY: Readonly<Record<string, (...args: never[]) => unknown>> = {
  'string.format': (form: string, value: LuaValue): string => {
    if (form !== '%d') fault(`the format ${form}`);
    const n = number(value);
    return Number.isSafeInteger(n) ? String(n) : fault(`${n} as a whole number`);
  },
  'string.sub': (s: LuaValue, from: number, to = -1): string => textOf(sub(text(s), from, to)),
  'string.find': (s: string, what: string, from: number, plain: boolean): LuaValue => {
    if (from !== 1 || plain !== true) fault('string.find by a pattern');
    const at = s.indexOf(what);
    return at < 0 ? undefined : at + 1;
  },
  'table.concat': ({ list }: LuaTable, between: string): string => list.map(text).join(between),
  'math.abs': (n: LuaValue): number => Math.abs(number(n)),
  'math.floor': (n: LuaValue): number => Math.floor(number(n)),
  'math.max': (a: LuaValue, b: LuaValue): number => Math.max(number(a), number(b)),
  'math.min': (a: LuaValue, b: LuaValue): number => Math.min(number(a), number(b)),
  // Packed is JSON here: what a script packs only a script unpacks, and the witness reads it.
  'cmsgpack.pack': pack,
  'cmsgpack.unpack': (text: string): LuaValue => new LuaTable().append(unpacked(text)),
  'cjson.encode': encode,
  'cjson.decode': (json: string): LuaValue => decode(JSON.parse(json)),
  tonumber: (value: LuaValue, base?: number): LuaValue => {
    if (base === undefined) return toNumber(value);
    if (base !== 16) return fault(`numbers of base ${base}`);
    return typeof value === 'string' && HEXADECIMAL.test(value) ? Number.parseInt(value, 16) : undefined;
  },
  unpack: ({ list }: LuaTable, from = 1, to = list.length): LuaValue[] =>
    from === 1 && to >= list.length ? list : list.slice(from - 1, to),
};
const HEXADECIMAL = /^[0-9a-f]+$/i;

/** What a loop may be over. */
export const ITERATORS: Readonly<Record<string, (...args: never[]) => Iterable<LuaValue[]>>> = {
  'string.gmatch': (s: string, pattern: string) =>
    pattern === '[^,]+' ? gmatch(s, /[^,]+/g) : fault(`the pattern ${pattern}`),
  ipairs: ({ list }: LuaTable) => list.map((value, i) => [i + 1, value]),
  pairs: ({ list, map }: LuaTable) => [...list.map((value, i): LuaValue[] => [i + 1, value]), ...map],
};
