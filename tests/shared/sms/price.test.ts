import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Encoding } from '../../../shared/sms/encoding.ts';
import { type MessageType, type Prices, parsePrices, priceOf } from '../../../shared/sms/price.ts';

const OPERATORS = ['MCI', 'MTN', 'Rightel'];

function pricesOf(json: unknown, operators?: string[]): Prices {
  const result = parsePrices(json, operators);
  if (!result.ok) throw new Error(result.problems.join('\n'));
  return result.prices;
}
const problemsOf = (json: unknown, operators?: string[]): string[] => {
  const result = parsePrices(json, operators);
  return result.ok ? [] : result.problems;
};

const FILE = {
  default_per_page_rials: 1,
  prices: [
    { type: 'express', per_page_rials: 10 },
    { encoding: 'gsm7', per_page_rials: 20 },
    { operator: 'MCI', per_page_rials: 30 },
    { type: 'express', encoding: 'gsm7', per_page_rials: 100 },
    { operator: 'MTN', encoding: 'gsm7', per_page_rials: 110 },
    { operator: 'MTN', type: 'express', per_page_rials: 120 },
    { operator: 'MTN', type: 'express', encoding: 'gsm7', per_page_rials: 1000 },
  ],
};

describe('the most specific entry decides', () => {
  const prices = pricesOf(FILE, OPERATORS);
  for (const [type, encoding, operator, expected] of [
    ['normal', 'ucs2', 'Rightel', 1],
    ['express', 'ucs2', 'Rightel', 10],
    ['normal', 'gsm7', 'Rightel', 20],
    ['express', 'gsm7', 'Rightel', 100],
    ['normal', 'ucs2', 'MCI', 30],
    ['express', 'ucs2', 'MCI', 30],
    ['normal', 'gsm7', 'MCI', 30],
    ['express', 'gsm7', 'MCI', 100],
    ['normal', 'ucs2', 'MTN', 1],
    ['express', 'ucs2', 'MTN', 120],
    ['normal', 'gsm7', 'MTN', 110],
    ['express', 'gsm7', 'MTN', 1000],
    ['express', 'ucs2', null, 10],
    ['express', 'gsm7', 'Unheard', 100],
  ] as const) {
    test(`${type} ${encoding} to ${operator}: ${expected} Rials a page`, () => {
      expect(priceOf(prices, { type, encoding, operator, pages: 1 })).toBe(expected);
      expect(priceOf(prices, { type, encoding, operator, pages: 7 })).toBe(7 * expected);
    });
  }

  test('of entries with as many conditions the operator goes first, then the type', () => {
    const level = pricesOf({
      default_per_page_rials: 1,
      prices: [
        { encoding: 'gsm7', type: 'express', per_page_rials: 2 },
        { operator: 'MCI', encoding: 'gsm7', per_page_rials: 3 },
        { operator: 'MCI', type: 'express', per_page_rials: 4 },
      ],
    });
    expect(priceOf(level, { type: 'express', encoding: 'gsm7', operator: 'MCI', pages: 1 })).toBe(4);
    expect(priceOf(level, { type: 'normal', encoding: 'gsm7', operator: 'MCI', pages: 1 })).toBe(3);
    expect(priceOf(level, { type: 'express', encoding: 'gsm7', operator: 'MTN', pages: 1 })).toBe(2);
  });

  test('the order of the file does not matter', () => {
    const everyMessage = ['express', 'normal'].flatMap((type) =>
      ['gsm7', 'ucs2'].flatMap((encoding) =>
        [...OPERATORS, null].map((operator) => ({
          type: type as MessageType,
          encoding: encoding as Encoding,
          operator,
          pages: 1,
        })),
      ),
    );
    const expected = everyMessage.map((message) => priceOf(prices, message));
    fc.assert(
      fc.property(fc.shuffledSubarray(FILE.prices, { minLength: FILE.prices.length }), (shuffled) => {
        const other = pricesOf({ ...FILE, prices: shuffled });
        expect(everyMessage.map((message) => priceOf(other, message))).toEqual(expected);
      }),
    );
  });
});

describe('a price is a positive safe integer', () => {
  test('for every file that is accepted and every number of pages that is sent', () => {
    const rials = fc.integer({ min: 1, max: 1_000_000_000 });
    fc.assert(
      fc.property(rials, rials, fc.integer({ min: 1, max: 255 }), (general, express, pages) => {
        const prices = pricesOf({
          default_per_page_rials: general,
          prices: [{ type: 'express', per_page_rials: express }],
        });
        for (const [type, perPage] of [
          ['express', express],
          ['normal', general],
        ] as const) {
          const price = priceOf(prices, { type, encoding: 'ucs2', operator: 'MCI', pages });
          expect(price).toBe(perPage * pages);
          expect(Number.isSafeInteger(price) && price > 0).toBe(true);
        }
      }),
    );
  });

  test('else there is an error and no price', () => {
    const prices = pricesOf({ default_per_page_rials: 1_000_000_000 });
    for (const pages of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 10_000_000]) {
      expect(() => priceOf(prices, { type: 'normal', encoding: 'ucs2', operator: 'MCI', pages })).toThrow(RangeError);
    }
  });
});

describe('what is refused, with its place', () => {
  const RANGE = 'must be a whole number from 1 to 1000000000';
  const one = (entry: unknown): unknown => ({ default_per_page_rials: 1, prices: [entry] });
  for (const [json, problem] of [
    [[], 'must be an object'],
    [{}, 'default_per_page_rials: is missing'],
    [{ default_per_page_rials: 0 }, `default_per_page_rials: ${RANGE}`],
    [{ default_per_page_rials: -5 }, `default_per_page_rials: ${RANGE}`],
    [{ default_per_page_rials: 1.5 }, `default_per_page_rials: ${RANGE}`],
    [{ default_per_page_rials: '890' }, `default_per_page_rials: ${RANGE}`],
    [{ default_per_page_rials: 1_000_000_001 }, `default_per_page_rials: ${RANGE}`],
    [{ default_per_page_rials: 1, currency: 'IRR' }, 'currency: unknown setting'],
    [{ default_per_page_rials: 1, prices: {} }, 'prices: must be a list'],
    [one(7), 'prices[0]: must be an object'],
    [one({ type: 'express' }), 'prices[0].per_page_rials: is missing'],
    [one({ type: 'express', per_page_rials: 0 }), `prices[0].per_page_rials: ${RANGE}`],
    [one({ type: 'bulk', encoding: 'gsm7', per_page_rials: 1 }), 'prices[0].type: must be one of express, normal'],
    [one({ encoding: 'UCS-2', type: 'normal', per_page_rials: 1 }), 'prices[0].encoding: must be one of gsm7, ucs2'],
    [one({ operator: 7, type: 'normal', per_page_rials: 1 }), 'prices[0].operator: must be the name of an operator'],
    [one({ operator: 'MIC', type: 'normal', per_page_rials: 1 }), 'prices[0].operator: there is no such operator'],
    [one({ type: 'normal', per_page: 1, per_page_rials: 1 }), 'prices[0].per_page: unknown setting'],
    [
      one({ per_page_rials: 1 }),
      'prices[0]: must name a type, an encoding or an operator; for all messages there is default_per_page_rials',
    ],
    [
      {
        default_per_page_rials: 1,
        prices: [
          { type: 'normal', operator: 'MCI', per_page_rials: 1 },
          { operator: 'MCI', type: 'normal', per_page_rials: 2 },
        ],
      },
      'prices[1]: another entry has the same conditions',
    ],
    [
      { default_per_page_rials: 1, prices: Array.from({ length: 1_001 }, () => ({})) },
      'prices: must have at most 1000 entries',
    ],
  ] as const) {
    test(problem, () => expect(problemsOf(json, OPERATORS)).toEqual([problem]));
  }

  test('without the names of the operators any name passes', () =>
    expect(problemsOf(one({ operator: 'MIC', per_page_rials: 1 }))).toEqual([]));

  test('all at once', () => {
    expect(problemsOf({ prices: [{ type: 'x', per_page_rials: 0 }], other: 1 })).toHaveLength(5);
  });

  test('no JSON is an exception', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        expect(typeof parsePrices(json).ok).toBe('boolean');
        expect(typeof parsePrices({ default_per_page_rials: 1, prices: [json] }).ok).toBe('boolean');
      }),
    );
  });
});

test('the prices.json of this repository prices every operator, and express above normal', () => {
  const result = parsePrices(
    JSON.parse(readFileSync(join(import.meta.dirname, '../../../prices.json'), 'utf8')),
    OPERATORS,
  );
  if (!result.ok) throw new Error(result.problems.join('\n'));
  for (const operator of OPERATORS) {
    for (const encoding of ['gsm7', 'ucs2'] as const) {
      const normal = priceOf(result.prices, { type: 'normal', encoding, operator, pages: 1 });
      const express = priceOf(result.prices, { type: 'express', encoding, operator, pages: 1 });
      expect(express).toBeGreaterThan(normal);
    }
  }
});
