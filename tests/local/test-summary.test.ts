import { expect, test } from 'bun:test';
import { readSummary } from '../../local/test-summary.ts';

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
