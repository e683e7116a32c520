import { expect, test } from 'bun:test';
import { e164 } from '../../simulator/number.ts';

test('a number is the same in every form', () => {
  for (const form of [
    '+989121234567',
    '989121234567',
    '00989121234567',
    '09121234567',
    '9121234567',
    ' 98 912 123 4567',
  ]) {
    expect(e164(form)).toBe('+989121234567');
  }
  expect(e164('+14155550100')).toBe('+14155550100');
  expect(e164('BANK')).toBe('BANK');
});
