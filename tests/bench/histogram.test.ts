import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { createHistogram } from '../../bench/load/histogram.ts';

test('a percentile is never below the true one, and at most 1.6 % above it', () => {
  const latencies = fc.array(fc.integer({ min: 0, max: 0x7fff_ffff }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(latencies, fc.double({ min: 0, max: 1, noNaN: true }), (micros, share) => {
      const histogram = createHistogram();
      for (const one of micros) histogram.record(one);
      const sorted = [...micros].sort((a, b) => a - b);
      const exact = (sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] as number) / 1_000;
      const told = histogram.percentileMs(share);
      expect(told).toBeGreaterThanOrEqual(exact);
      expect(told).toBeLessThanOrEqual(exact * (1 + 1 / 64));
    }),
  );
});

test('counts, the mean and the longest are exact', () => {
  const histogram = createHistogram();
  expect([histogram.count, histogram.percentileMs(0.99), histogram.meanMs]).toEqual([0, 0, 0]);
  for (const micros of [100, 200, 1_000_000]) histogram.record(micros);
  expect(histogram.count).toBe(3);
  expect(histogram.maxMicros).toBe(1_000_000);
  expect(histogram.meanMs).toBeCloseTo(333.4333, 3);
  expect(histogram.percentileMs(1)).toBe(1_000);
});

test('what is out of bounds is kept at the bound', () => {
  const histogram = createHistogram();
  histogram.record(-5);
  histogram.record(1e12);
  expect(histogram.count).toBe(2);
  expect(histogram.percentileMs(0.5)).toBe(0);
  expect(histogram.maxMicros).toBe(0x7fff_ffff);
});
