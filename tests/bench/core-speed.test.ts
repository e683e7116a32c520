import { expect, test } from 'bun:test';
import { speedPercent, startCoreProbe } from '../../bench/core-speed.ts';
import { identityOf } from '../../local/identity.ts';
import { until } from '../support/poll.ts';

test('the speed is that of the bursts between two readings, against the fastest of all so far', () => {
  const none = { count: 0, totalUs: 0, fastestUs: Number.POSITIVE_INFINITY };
  const before = { count: 10, totalUs: 4_000, fastestUs: 350 };
  const after = { count: 14, totalUs: 6_800, fastestUs: 350 };
  expect(speedPercent(before, after)).toBe(50);
  expect(speedPercent(none, before)).toBe(87.5);
  expect([speedPercent(none, none), speedPercent(before, before)]).toEqual([0, 0]);
});

test('the probe tells its bursts while it lives, and ends when it is closed', async () => {
  const probe = startCoreProbe();
  try {
    const { count, totalUs, fastestUs } = await until('the probe tells its bursts', () => {
      const seen = probe.read();
      return seen.count >= 3 && seen;
    });
    expect(fastestUs).toBeGreaterThan(0);
    expect(totalUs).toBeGreaterThanOrEqual(count * fastestUs);
  } finally {
    await probe.close();
  }
  expect(identityOf(probe.pid)).toBe(null);
});
