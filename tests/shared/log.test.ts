import { expect, test } from 'bun:test';
import { errorFields, masked } from '../../shared/log.ts';

const KEY = `jsms_0123456789abcdef_${'5e'.repeat(32)}`;

test.each([
  ['redis://user:sesame@host:6379/0 is away', 'redis://***@host:6379/0 is away'],
  ['postgres://jsms:p@ss@db/jsms', 'postgres://***@db/jsms'],
  [`the header was Bearer ${KEY}`, 'the header was Bearer ***'],
  [`key ${KEY} is odd`, 'key jsms_0123456789abcdef_*** is odd'],
  ['to +989121234567', 'to +98912*****67'],
  ['to 00989121234567, 09121234567 and 9121234567', 'to 0098912*****67, 0912*****67 and 912*****67'],
  ['Redis does not answer at redis.example.org:6379', 'Redis does not answer at redis.example.org:6379'],
  ['message 0193a5c8-7c11-7d3e-9f00-912123456789', 'message 0193a5c8-7c11-7d3e-9f00-912123456789'],
  ['offset 91212345678901', 'offset 91212345678901'],
])('%p is said as %p', (words, said) => {
  expect(masked(words)).toBe(said);
});

test('an error is logged without what it was given, its cause as well', () => {
  const cause = new Error('WRONGPASS for redis://u:sesame@h');
  expect(JSON.stringify(errorFields(new Error(`no such key ${KEY}`, { cause })))).not.toMatch(/sesame|5e5e/);
  expect(JSON.stringify(errorFields('redis://u:sesame@h'))).not.toContain('sesame');
});
