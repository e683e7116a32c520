import { expect, test } from 'bun:test';
import { runOf } from './schemathesis.ts';

const CLEAN = {
  complete: true,
  running_time: 12.3,
  operations: { tested: 6, errored: 0 },
  test_cases: { generated: 5_336 },
  failures: [],
  errors: [],
};

test('a run without failures has no finding', () => {
  expect(runOf('billing', CLEAN, 'log')).toEqual({
    service: 'billing',
    cases: 5_336,
    operations: 6,
    seconds: 12,
    findings: [],
    log: 'log',
  });
});

test('a failure, a fault of the program, a route left out and a run cut short are findings each', () => {
  const findings = (more: object): string[] => runOf('billing', { ...CLEAN, ...more }, 'log').findings;
  expect(findings({ failures: [{ title: 'Server error', count: 2, operations: ['POST /send', 'GET /x'] }] })).toEqual([
    'Server error (2): POST /send, GET /x',
  ]);
  expect(findings({ errors: [{ title: 'Runtime Error' }] })).toHaveLength(1);
  expect(findings({ operations: { tested: 5, errored: 1 } })).toHaveLength(1);
  expect(findings({ complete: false })).toHaveLength(1);
});
