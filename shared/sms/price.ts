/** prices.json: Rials per page by message type, encoding and operator. docs/PRICES.md is its reference. */

import type { Refused } from '../json-file.ts';
import type { Encoding } from './encoding.ts';
import {
  choice,
  collectProblems,
  type Fields,
  fieldsOf,
  integer,
  type Place,
  placeAt,
  type Rule,
  text,
} from './fields.ts';

export type MessageType = 'express' | 'normal';

/** Rials per page by `type/encoding`. */
type PriceRow = Readonly<Record<`${MessageType}/${Encoding}`, number>>;
export type Prices = {
  /** For operators that no entry names. */
  readonly others: PriceRow;
  readonly byOperator: ReadonlyMap<string, PriceRow>;
};
export type PricesResult = { ok: true; prices: Prices } | Refused;

/** Far above any SMS, and low enough that every number of pages gives a safe integer. */
const PER_PAGE_MAX_RIALS = 1_000_000_000;
const ENTRIES_MAX = 1_000;

type Entry = { type: MessageType | null; encoding: Encoding | null; operator: string | null; perPageRials: number };

/**
 * Never throws.
 * @param operators the names of operator.json: a price for an operator that does not exist is a typing error. Without them any name passes
 */
export function parsePrices(json: unknown, operators?: Iterable<string>): PricesResult {
  const problems = collectProblems();
  const fields = fieldsOf(json, placeAt('', problems));
  const fallback = fields?.need('default_per_page_rials', PER_PAGE) ?? 0;
  const entries = fields?.read('prices', entriesRule(operators ? new Set(operators) : null), []) ?? [];
  fields?.end();
  const lines = problems.lines();
  return lines.length > 0 ? { ok: false, problems: lines } : { ok: true, prices: compile(fallback, entries) };
}

/**
 * The price of a message in Rials: pages × the price of one page, of which the most specific entry decides.
 * Without an operator (a preview without a number) it is what operators cost that no entry names.
 * Throws a RangeError unless the pages are a positive whole number and the price a safe integer.
 */
export function priceOf(
  prices: Prices,
  message: { type: MessageType; encoding: Encoding; operator: string | null; pages: number },
): number {
  const row = (message.operator === null ? undefined : prices.byOperator.get(message.operator)) ?? prices.others;
  const rials = row[`${message.type}/${message.encoding}`] * message.pages;
  if (!Number.isInteger(message.pages) || !Number.isSafeInteger(rials) || rials <= 0) {
    throw new RangeError('a price that is no positive safe integer');
  }
  return rials;
}

const PER_PAGE = integer(1, PER_PAGE_MAX_RIALS);

const entriesRule =
  (operators: ReadonlySet<string> | null): Rule<Entry[]> =>
  (value, place) => {
    if (!Array.isArray(value)) return place.refuse('must be a list');
    if (value.length > ENTRIES_MAX) return place.refuse(`must have at most ${ENTRIES_MAX} entries`);
    const seen = new Set<string>();
    const entries: Entry[] = [];
    for (const [at, item] of value.entries()) {
      const inside = place.inside(at);
      const fields = fieldsOf(item, inside);
      if (!fields) continue;
      const entry = readEntry(fields, operators);
      checkEntry(entry, seen, inside);
      entries.push(entry);
    }
    return entries;
  };

function readEntry(fields: Fields, operators: ReadonlySet<string> | null): Entry {
  const named: Rule<string> = (value, place) => {
    const name = text(/^.{1,32}$/, 'the name of an operator')(value, place);
    return name === undefined || !operators || operators.has(name) ? name : place.refuse('there is no such operator');
  };
  const entry: Entry = {
    type: fields.read<MessageType | null>('type', choice('express', 'normal'), null),
    encoding: fields.read<Encoding | null>('encoding', choice('gsm7', 'ucs2'), null),
    operator: fields.read<string | null>('operator', named, null),
    perPageRials: fields.need('per_page_rials', PER_PAGE),
  };
  fields.end();
  return entry;
}

function checkEntry({ type, encoding, operator }: Entry, seen: Set<string>, place: Place): void {
  if (!type && !encoding && !operator) {
    place.refuse('must name a type, an encoding or an operator; for all messages there is default_per_page_rials');
  }
  const key = JSON.stringify([type, encoding, operator]);
  if (seen.has(key)) place.refuse('another entry has the same conditions');
  seen.add(key);
}

/**
 * More conditions are more specific; of as many, the one that names the operator goes first, then the one that names the type.
 * No two entries with the same conditions exist, so that one alone decides.
 */
const weight = ({ type, encoding, operator }: Entry): number =>
  8 * (Number(type !== null) + Number(encoding !== null) + Number(operator !== null)) +
  4 * Number(operator !== null) +
  2 * Number(type !== null);

function compile(fallback: number, entries: readonly Entry[]): Prices {
  const heaviestFirst = [...entries].sort((a, b) => weight(b) - weight(a));
  const perPage = (operator: string | null, type: MessageType, encoding: Encoding): number =>
    heaviestFirst.find(
      (entry) =>
        (entry.operator === null || entry.operator === operator) &&
        (entry.type === null || entry.type === type) &&
        (entry.encoding === null || entry.encoding === encoding),
    )?.perPageRials ?? fallback;
  const row = (operator: string | null): PriceRow => ({
    'express/gsm7': perPage(operator, 'express', 'gsm7'),
    'express/ucs2': perPage(operator, 'express', 'ucs2'),
    'normal/gsm7': perPage(operator, 'normal', 'gsm7'),
    'normal/ucs2': perPage(operator, 'normal', 'ucs2'),
  });
  const named = new Set(entries.flatMap((entry) => entry.operator ?? []));
  return { others: row(null), byOperator: new Map([...named].map((operator) => [operator, row(operator)])) };
}
