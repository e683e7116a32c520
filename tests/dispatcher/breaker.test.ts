import { expect, test } from 'bun:test';
import { createBreaker } from '../../dispatcher/breaker.ts';

const settings = { failures: 3, openMs: 1_000, halfOpenProbes: 2 };
/** Faults a while apart, the last one at instant 0. */
const faults = (breaker: ReturnType<typeof createBreaker>, count: number): void => {
  for (let i = count - 1; i >= 0; i -= 1) breaker.record(-100 * i, true);
};

test('it opens after so many faults of the link in a row, and an answer in between starts the count anew', () => {
  const breaker = createBreaker(settings);
  for (const at of [0, 100]) breaker.record(at, true);
  breaker.record(150, false);
  for (const at of [200, 300]) breaker.record(at, true);
  expect(breaker.state(300)).toBe('closed');
  breaker.record(400, true);
  expect(breaker.state(400)).toBe('open');
  expect(breaker.allowance(400)).toBe(0);
});

test('after its rest only a few probes may go, and it closes when they all got through', () => {
  const breaker = createBreaker(settings);
  faults(breaker, 3);
  expect(breaker.waitMs(400)).toBe(600);
  expect(breaker.allowance(1_000)).toBe(2);
  breaker.record(1_000, false);
  expect(breaker.state(1_001)).toBe('half_open');
  breaker.record(1_001, false);
  expect(breaker.state(1_002)).toBe('closed');
  expect(breaker.allowance(1_002)).toBe(Number.POSITIVE_INFINITY);
});

test('a probe that fails opens it for another rest', () => {
  const breaker = createBreaker(settings);
  faults(breaker, 3);
  breaker.record(1_500, false);
  breaker.record(1_500, true);
  expect(breaker.state(2_000)).toBe('open');
  expect(breaker.state(2_500)).toBe('half_open');
  breaker.record(2_500, false);
  expect(breaker.state(2_500)).toBe('half_open');
});

test('answers to submits from before it opened do not close it', () => {
  const breaker = createBreaker(settings);
  faults(breaker, 3);
  for (let i = 0; i < 10; i += 1) breaker.record(500, false);
  expect(breaker.state(500)).toBe('open');
});

test('a lost link that fails a whole window at once is one fault; refused connections are one each', () => {
  const breaker = createBreaker(settings);
  for (let i = 0; i < 100; i += 1) breaker.record(1_000 + i / 10, true, { lost: true });
  expect(breaker.state(1_010)).toBe('closed');
  breaker.record(1_100, true, { lost: true });
  breaker.record(1_200, true, { lost: true });
  expect(breaker.state(1_200)).toBe('open');
  const refusing = createBreaker(settings);
  for (let i = 0; i < 3; i += 1) refusing.record(1_000, true);
  expect(refusing.state(1_000)).toBe('open');
});

test('from the first fault until the next answer only as many submits as probes may be in flight', () => {
  const breaker = createBreaker(settings);
  expect(breaker.allowance(0)).toBe(Number.POSITIVE_INFINITY);
  breaker.record(0, true);
  expect(breaker.allowance(1)).toBe(2);
  breaker.record(2, false);
  expect(breaker.allowance(3)).toBe(Number.POSITIVE_INFINITY);
});

test('what was submitted before it rested neither closes it nor opens it again', () => {
  const breaker = createBreaker(settings);
  faults(breaker, 3);
  for (let i = 0; i < 5; i += 1) breaker.record(1_500, true, { startedMs: -50 });
  expect(breaker.state(1_500)).toBe('half_open');
  for (let i = 0; i < 5; i += 1) breaker.record(1_500, false, { startedMs: -50 });
  expect(breaker.state(1_500)).toBe('half_open');
  breaker.record(1_600, true, { startedMs: 1_510 });
  expect(breaker.state(1_600)).toBe('open');
});

test('where there was no link it rests until there is one again, and where there was one it rests its time', () => {
  const down = createBreaker(settings);
  for (const at of [0, 100, 200]) down.record(at, true, { down: true });
  expect(down.state(300)).toBe('open');
  down.linkMade(300);
  expect(down.state(300)).toBe('half_open');
  const failing = createBreaker(settings);
  faults(failing, 3);
  failing.linkMade(300);
  expect(failing.state(300)).toBe('open');
});
