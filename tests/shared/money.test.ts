import { expect, test } from 'bun:test';
import { AMOUNT_MAX_RIALS, isAmount, parseAmount, TOTAL_MAX_RIALS } from '../../shared/money.ts';

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

test('a price is whole Rials above zero, of 15 digits at most; a part of one may be nothing', () => {
  for (const rials of [1, 1_250, AMOUNT_MAX_RIALS]) expect([isAmount(rials), isAmount(rials, 0)]).toEqual([true, true]);
  for (const rials of [-1, 0.5, AMOUNT_MAX_RIALS + 1, Number.NaN, Number.POSITIVE_INFINITY])
    expect([isAmount(rials), isAmount(rials, 0)]).toEqual([false, false]);
  expect([isAmount(0), isAmount(0, 0)]).toEqual([false, true]);
});
