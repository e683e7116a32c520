import { expect, test } from 'bun:test';
import { createSignalGate, SECOND_SIGNAL_MS } from '../../local/signal-gate.ts';

const meanings = (times: number[]): string[] => {
  let at = 0;
  const gate = createSignalGate(() => at);
  return times.map((time) => {
    at = time;
    return gate();
  });
};

test('one Ctrl-C that arrives twice within milliseconds stops once', () => {
  expect(meanings([5, 5, 13])).toEqual(['stop', 'same', 'same']);
});

test('a second Ctrl-C a second later means out at once', () => {
  expect(meanings([0, 8, SECOND_SIGNAL_MS - 1, SECOND_SIGNAL_MS])).toEqual(['stop', 'same', 'same', 'out']);
});
