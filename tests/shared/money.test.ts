import { expect, test } from 'bun:test';
import { AMOUNT_MAX_RIALS, fromInt64, parseAmount, TOTAL_MAX_RIALS } from '../../shared/money.ts';

test.each([
  ['1', 1],
  ['123456', 123_456],
  ['000000000000001', 1],
  ['999999999999999', AMOUNT_MAX_RIALS],
])('%p is %d Rials', (text, rials) => {
  expect(parseAmount(text)).toBe(rials);
});

test.each([
  '',
  '0',
  '000',
  '-1',
  '+1',
  '1.5',
  '1e3',
  '0x10',
  ' 1',
  '1 ',
  '1_000',
  '۱۲۳',
  '١٢',
  '1000000000000000',
  'NaN',
  '1\n',
])('%p is no amount', (text) => {
  expect(parseAmount(text)).toBeNull();
});

test('a total and one more amount stay exact', () => {
  expect(Number.isSafeInteger(TOTAL_MAX_RIALS + AMOUNT_MAX_RIALS)).toBe(true);
});

test('an int64 outside the safe integers is a broken invariant, not a rounded number', () => {
  expect(fromInt64('9007199254740991')).toBe(Number.MAX_SAFE_INTEGER);
  for (const text of ['9007199254740993', '1.5', 'x']) expect(() => fromInt64(text)).toThrow();
});
