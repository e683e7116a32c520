import { expect, test } from 'bun:test';
import { createReasons, readSummary } from '../../local/test-summary.ts';

const END = '\nRan 15 tests across 3 files. [1.2s]\n';

test.each([
  ['all passed', ` 15 pass\n 0 fail\n 40 expect() calls${END}`, { passed: 15, failed: 0 }],
  ['a failure', ` 12 pass\n 3 fail${END}`, { passed: 12, failed: 3 }],
  ['a fault outside any test counts as failed', ` 12 pass\n 0 fail\n 1 error${END}`, { passed: 12, failed: 1 }],
  ['a skipped test counts as failed', ` 12 pass\n 2 skip\n 1 todo\n 0 fail${END}`, { passed: 12, failed: 3 }],
  ['colours', `\u001b[32m 15 pass\u001b[0m\n\u001b[2m 0 fail\u001b[0m${END}`, { passed: 15, failed: 0 }],
  ['a crash before the summary', '(pass) one\n(pass) two\n', { passed: 0, failed: 0 }],
  [
    'what a test itself printed is not the summary',
    ` 99 pass\n 0 fail${END}${'x'.repeat(500)}\n 2 pass\n 1 fail${END}`,
    { passed: 2, failed: 1 },
  ],
])('the summary of a run: %s', (_, printed, counts) => {
  expect(readSummary(printed)).toEqual(counts);
});

test('the reasons of the failed are kept, however the output is cut, and without those of the others', () => {
  const printed = [
    'bun test v1',
    '',
    'tests/one.test.ts:',
    'a line of a test that passed',
    '(pass) the first [1.00ms]',
    'error: expect(received).toBe(expected)',
    'Expected: 1',
    '\u001b[0m\u001b[31m(fail)\u001b[0m the second [2.00ms]',
    '(pass) the third',
    '',
    'tests/two.test.ts:',
    '# Unhandled error between tests',
    'error: nobody waits for me',
    '(pass) the fourth',
    '',
    '1 tests failed:',
    '(fail) the second [2.00ms]',
    '',
  ].join('\n');
  const expected = [
    'error: expect(received).toBe(expected)\nExpected: 1\n\u001b[0m\u001b[31m(fail)\u001b[0m the second [2.00ms]',
    '# Unhandled error between tests\nerror: nobody waits for me\n(pass) the fourth',
  ];
  for (const step of [1, 7, printed.length]) {
    const reasons = createReasons();
    for (let at = 0; at < printed.length; at += step) reasons.add(printed.slice(at, at + step));
    expect(reasons.list()).toEqual(expected);
  }
});

test('of a long reason the end is kept', () => {
  const reasons = createReasons();
  reasons.add(`${Array.from({ length: 1_000 }, (_, i) => `line ${i}`).join('\n')}\n(fail) long\n`);
  const [reason = ''] = reasons.list();
  expect(reason.split('\n')).toHaveLength(81);
  expect(reason).toEndWith('line 999\n(fail) long');
});
