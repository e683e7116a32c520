import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { type OperatorsFile, parseOperators } from '../../../shared/sms/operators.ts';
import { buildRoutes, operatorOf } from '../../../shared/sms/routes.ts';

/** The rows of the numbering plan as it was read (CRA, 2026-08; libphonenumber's carrier data, 2026-11). */
const PLAN: readonly (readonly [string, string])[] = [
  ['910–919, 990–994, 996', 'MCI'],
  ['932', 'MCI'],
  ['900–905, 930, 933, 935–939', 'MTN'],
  ['920–923', 'Rightel'],
  ['931', 'MCI'],
  ['934', 'MTN'],
  ['9981, 9982', 'Rightel'],
  ['99900–99903', 'MCI'],
  ['9991', 'MTN'],
  ['99921, 99930–99934', 'MTN'],
  ['9995, 99969', 'MCI'],
  ['9998, 9999', 'Rightel'],
  ['99550', 'MTN'],
];

function prefixesOf(row: string): string[] {
  return row.split(', ').flatMap((range) => {
    const [from, to = from] = range.split('–') as [string, string?];
    return Array.from({ length: Number(to) - Number(from) + 1 }, (_, at) => String(Number(from) + at));
  });
}

function naiveRoute(prefixes: ReadonlyMap<string, string>, national: string): string | null {
  for (let length = 5; length >= 3; length--) {
    const operator = prefixes.get(national.slice(0, length));
    if (operator !== undefined) return operator;
  }
  return null;
}

describe('the operator.json of this repository', () => {
  const result = parseOperators(
    JSON.parse(readFileSync(join(import.meta.dirname, '../../../operator.json'), 'utf8')),
    null,
  );
  if (!result.ok) throw new Error(result.problems.join('\n'));
  const routes = buildRoutes(result.file);
  const plan = new Map(PLAN.flatMap(([row, operator]) => prefixesOf(row).map((prefix) => [prefix, operator] as const)));

  for (const [row, operator] of PLAN) {
    test(`${row} goes to ${operator}`, () => {
      for (const prefix of prefixesOf(row)) {
        for (const digit of ['0', '5', '9'])
          expect(operatorOf(routes, `+98${prefix.padEnd(10, digit)}`)).toBe(operator);
      }
    });
  }

  test('every number there can be goes where the plan says, and nowhere else', () => {
    for (let start = 90_000; start < 100_000; start++) {
      const national = `${start}12345`;
      expect(`${start} ${operatorOf(routes, `+98${national}`)}`).toBe(`${start} ${naiveRoute(plan, national)}`);
    }
  });

  test('numbers without a holder have no route', () => {
    for (const prefix of [
      '906',
      '909',
      '924',
      '940',
      '980',
      '989',
      '995',
      '99551',
      '997',
      '9980',
      '99904',
      '99929',
      '9994',
    ]) {
      expect(operatorOf(routes, `+98${prefix.padEnd(10, '1')}`)).toBeNull();
    }
  });

  test('it has the three operators of the quick start, each alone in its slot', () => {
    expect<unknown>(
      result.file.operators.map(({ name, slot, connector, onUnknown }) => ({ name, slot, connector, onUnknown })),
    ).toEqual(
      [
        ['MCI', 'smpp', 'wait'],
        ['MTN', 'smpp', 'wait'],
        ['Rightel', 'http', 'resend'],
      ].map(([name, connector, after], slot) => ({
        name,
        slot,
        connector,
        onUnknown: { express: after, normal: after },
      })),
    );
  });
});

const fileOf = (
  operators: Readonly<Record<string, readonly string[]>>,
  ported: Readonly<Record<string, string>> = {},
) => {
  const parsed = parseOperators({
    operators: Object.fromEntries(
      Object.entries(operators).map(([name, prefixes]) => [
        name,
        { prefixes, connector: 'http', http: { url: 'http://127.0.0.1/x' } },
      ]),
    ),
    ported_numbers: ported,
  });
  if (!parsed.ok) throw new Error(parsed.problems.join('\n'));
  return parsed.file;
};

test('a ported number goes before every prefix, however it is written in the file', () => {
  const routes = buildRoutes(fileOf({ A: ['912'], B: ['91212'] }, { '۰۹۱۲ ۱۲۳ ۴۵۶۷': 'A', '+989990000000': 'B' }));
  expect(operatorOf(routes, '+989121234567')).toBe('A');
  expect(operatorOf(routes, '+989121234568')).toBe('B');
  expect(operatorOf(routes, '+989990000000')).toBe('B');
});

test('a longer prefix wins wherever it stands in the file', () => {
  for (const operators of [
    { A: ['99900'], B: ['9990'], C: ['999'] },
    { C: ['999'], B: ['9990'], A: ['99900'] },
  ]) {
    const routes = buildRoutes(fileOf(operators));
    expect(operatorOf(routes, '+989990012345')).toBe('A');
    expect(operatorOf(routes, '+989990112345')).toBe('B');
    expect(operatorOf(routes, '+989991112345')).toBe('C');
    expect(operatorOf(routes, '+989981112345')).toBeNull();
  }
});

test('any table routes any number as the naive longest prefix does', () => {
  // Few digits, so that prefixes and numbers meet often.
  const tail = (min: number, max: number) =>
    fc.string({ unit: fc.constantFrom('0', '1', '9'), minLength: min, maxLength: max });
  const prefix = tail(2, 4).map((rest) => `9${rest}`);
  const number = tail(9, 9).map((rest) => `9${rest}`);
  const names = ['A', 'B', 'C', 'D', 'E', 'F'];
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(prefix, fc.constantFrom(...names)), { selector: ([digits]) => digits, maxLength: 40 }),
      fc.array(fc.tuple(number, fc.constantFrom(...names)), { maxLength: 5 }),
      fc.array(number, { minLength: 1, maxLength: 40 }),
      (prefixes, ported, numbers) => {
        const portedNumbers = new Map(ported.map(([digits, name]) => [`+98${digits}`, name]));
        const file = fileOf(
          Object.fromEntries(
            names.map((name) => [name, prefixes.filter(([, holder]) => holder === name).map(([digits]) => digits)]),
          ),
        );
        const routes = buildRoutes({ ...file, portedNumbers } satisfies OperatorsFile);
        const model = new Map(prefixes);
        for (const digits of [...numbers, ...ported.map(([portedDigits]) => portedDigits)]) {
          expect(operatorOf(routes, `+98${digits}`)).toBe(
            portedNumbers.get(`+98${digits}`) ?? naiveRoute(model, digits),
          );
        }
      },
    ),
  );
});
