import { expect, test } from 'bun:test';
import { createRate } from '../../dispatcher/rate.ts';

/** Submits as fast as the rate lets it for so many milliseconds; answers how many went. */
function run(rate: ReturnType<typeof createRate>, fromMs: number, ms: number, perMsMax = 5): number {
  let sent = 0;
  for (let now = fromMs; now < fromMs + ms; now += 1) {
    const may = Math.min(rate.available(now), perMsMax);
    if (may > 0) rate.take(now, may);
    sent += may;
  }
  return sent;
}

test('nothing limits an operator that never throttled', () => {
  const rate = createRate();
  expect(rate.available(1)).toBeGreaterThan(1_000_000);
  expect(rate.perSecond(1)).toBe(0);
  expect(rate.waitMs(1)).toBe(0);
});

test('a refusal for the rate halves what was achieved, and a window of refusals counts once', () => {
  const rate = createRate();
  const before = run(rate, 1, 3_000) / 3;
  for (let i = 0; i < 50; i += 1) rate.throttled(3_001, 0);
  const limit = rate.perSecond(3_001);
  expect(limit).toBeGreaterThan(before * 0.4);
  expect(limit).toBeLessThan(before * 0.6);
});

test('an operator that throttles within the first second of a burst is held back from then on', () => {
  const rate = createRate();
  const before = run(rate, 1, 300);
  rate.throttled(301, 0);
  expect(rate.perSecond(302)).toBeCloseTo(before / 2, -1);
  expect(run(rate, 302, 900)).toBeLessThan(before * 0.7);
});

test('after it was halved the next second keeps to the limit', () => {
  const rate = createRate();
  run(rate, 1, 3_000);
  rate.throttled(3_001, 0);
  const limit = rate.perSecond(3_001);
  const sent = run(rate, 3_001, 1_000);
  expect(sent).toBeLessThanOrEqual(limit * 1.16);
  expect(sent).toBeGreaterThan(limit * 0.85);
});

test('it climbs back by a tenth a second until nothing holds it', () => {
  const rate = createRate();
  run(rate, 1, 3_000);
  rate.throttled(3_001, 0);
  const low = rate.perSecond(3_001);
  expect(rate.perSecond(4_001)).toBeCloseTo(low * 1.1, 0);
  for (let now = 4_001; now < 120_000 && rate.perSecond(now) > 0; now += 1_000) run(rate, now, 1_000);
  expect(rate.perSecond(121_000)).toBe(0);
});

test('a long Retry-After does not undo the halving', () => {
  const rate = createRate();
  run(rate, 1, 3_000, 1);
  rate.throttled(3_001, 30_000);
  for (let now = 3_001; now < 33_001; now += 250) rate.available(now);
  expect(rate.perSecond(33_001)).toBeCloseTo(500, -2);
  expect(run(rate, 33_001, 1_000)).toBeLessThan(620);
});

test('a Retry-After is waited for', () => {
  const rate = createRate();
  rate.throttled(1_000, 700);
  expect(rate.available(1_500)).toBe(0);
  expect(rate.waitMs(1_500)).toBe(200);
  expect(rate.available(1_699)).toBe(0);
});

test('what was taken and not submitted is given back', () => {
  const rate = createRate();
  rate.throttled(1_000, 0);
  const before = rate.available(2_500);
  rate.take(2_500, before);
  expect(rate.available(2_500)).toBe(0);
  rate.giveBack(before);
  expect(rate.available(2_500)).toBe(before);
});
