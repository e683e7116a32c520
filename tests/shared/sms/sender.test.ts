import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { addressOf, isSender, parseSenders, senderFor } from '../../../shared/sms/sender.ts';

const FILE = {
  default: '10001234',
  allowed: ['+9810004321'],
  accounts: {
    demo: { default: '30005678', allowed: ['MyBrand'] },
    '123': { allowed: ['20007777'] },
    empty: {},
  },
};
const result = parseSenders(FILE);
if (!result.ok) throw new Error(result.problems.join('\n'));
const { senders } = result;

describe('who sends from where', () => {
  for (const [userId, requested, sender] of [
    ['demo', undefined, '30005678'],
    ['demo', '30005678', '30005678'],
    ['demo', 'MyBrand', 'MyBrand'],
    ['demo', '10001234', '10001234'],
    ['demo', '+9810004321', '+9810004321'],
    ['demo', '20007777', null],
    ['demo', 'mybrand', null],
    ['demo', '', null],
    ['123', undefined, '10001234'],
    ['123', '20007777', '20007777'],
    ['123', 'MyBrand', null],
    ['123', '30005678', null],
    ['empty', undefined, '10001234'],
    ['empty', 'MyBrand', null],
    ['nobody', undefined, '10001234'],
    ['nobody', '10001234', '10001234'],
    ['nobody', '+9810004321', '+9810004321'],
    ['nobody', '9810004321', null],
    ['nobody', '30005678', null],
    ['__proto__', undefined, '10001234'],
    ['constructor', '30005678', null],
  ] as const) {
    test(`${userId} asking for ${requested ?? 'nothing'}: ${sender ?? 'refused'}`, () => {
      expect(senderFor(senders, userId, requested)).toEqual(sender === null ? { ok: false } : { ok: true, sender });
    });
  }

  test('an account that is called like a part of every object has its own lines', () => {
    const own = parseSenders(JSON.parse('{"default":"10001234","accounts":{"__proto__":{"default":"40000000"}}}'));
    if (!own.ok) throw new Error(own.problems.join('\n'));
    expect(senderFor(own.senders, '__proto__')).toEqual({ ok: true, sender: '40000000' });
    expect(senderFor(own.senders, 'demo', '40000000')).toEqual({ ok: false });
  });
});

describe('what a sender is', () => {
  for (const sender of [
    '100',
    '10001234',
    '+98100',
    '123456789012345',
    '+123456789012345',
    'A',
    'MyBrand',
    'Snapp24',
    '4u',
    'ABCDEFGHIJK',
  ]) {
    test(`${sender} is one`, () => expect(isSender(sender)).toBe(true));
  }
  for (const sender of [
    '',
    '1',
    '12',
    '+12',
    '1234567890123456',
    '+',
    '++98100',
    'ABCDEFGHIJKL',
    'My Brand',
    'برند',
    '۱۰۰۰',
    '1000-1',
    'a\n',
    '100\n',
    'é',
  ]) {
    test(`${JSON.stringify(sender)} is none`, () => expect(isSender(sender)).toBe(false));
  }

  test('SMPP tells names, numbers of the world and lines apart', () => {
    expect(addressOf('MyBrand')).toEqual({ ton: 5, npi: 0 });
    expect(addressOf('+9810001234')).toEqual({ ton: 1, npi: 1 });
    expect(addressOf('10001234')).toEqual({ ton: 0, npi: 1 });
  });
});

describe('what is refused, with its place', () => {
  const SENDER = 'must be 3 to 15 digits, with a + before them if wanted, or 1 to 11 letters and digits';
  const accounts = (entries: unknown): unknown => ({ default: '10001234', accounts: entries });
  for (const [json, problem] of [
    [null, 'must be an object'],
    [{}, 'default: is missing'],
    [{ default: 10001234 }, `default: ${SENDER}`],
    [{ default: 'My Brand' }, `default: ${SENDER}`],
    [{ default: '10001234', lines: [] }, 'lines: unknown setting'],
    [{ default: '10001234', allowed: '1000' }, 'allowed: must be a list'],
    [{ default: '10001234', allowed: ['1000', '1'] }, `allowed[1]: ${SENDER}`],
    [{ default: '10001234', allowed: ['1000', '1000'] }, 'allowed[1]: is there twice'],
    [accounts([]), 'accounts: must be an object'],
    [accounts({ demo: '1000' }), 'accounts.demo: must be an object'],
    [accounts({ demo: { default: '' } }), `accounts.demo.default: ${SENDER}`],
    [accounts({ demo: { allowed: [null] } }), `accounts.demo.allowed[0]: ${SENDER}`],
    [accounts({ demo: { sender: '1000' } }), 'accounts.demo.sender: unknown setting'],
    [accounts({ 'a b': {} }), 'accounts."a b": is not a user_id: 1 to 64 letters, digits, _, . or -'],
    [accounts({ '': {} }), 'accounts."": is not a user_id: 1 to 64 letters, digits, _, . or -'],
  ] as const) {
    test(problem, () => {
      const parsed = parseSenders(json);
      expect(parsed.ok ? [] : parsed.problems).toEqual([problem]);
    });
  }

  test('no JSON is an exception', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        expect(typeof parseSenders(json).ok).toBe('boolean');
        expect(typeof parseSenders({ default: '10001234', accounts: { demo: json } }).ok).toBe('boolean');
      }),
    );
  });
});

test('the senders.json of this repository is good', () => {
  const own = parseSenders(JSON.parse(readFileSync(join(import.meta.dirname, '../../../senders.json'), 'utf8')));
  expect(own.ok ? [] : own.problems).toEqual([]);
});
