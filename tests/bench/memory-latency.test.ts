import { expect, test } from 'bun:test';
import { latencyNs, startMemoryProbe } from '../../bench/memory-latency.ts';
import { identityOf } from '../../local/identity.ts';
import { until } from '../support/poll.ts';

test('the latency is the mean of what was told between two readings', () => {
  const [none, some, more] = [
    { count: 0, totalNs: 0 },
    { count: 10, totalNs: 1_000 },
    { count: 14, totalNs: 1_600 },
  ] as const;
  expect([latencyNs(none, some), latencyNs(some, more), latencyNs(some, some)]).toEqual([100, 150, 0]);
});

test('the probe tells while it lives, and ends when it is closed', async () => {
  const probe = startMemoryProbe();
  try {
    const told = await until('the probe tells', () => probe.read().count >= 3 && probe.read());
    expect(latencyNs({ count: 0, totalNs: 0 }, told)).toBeGreaterThan(0.1);
  } finally {
    await probe.close();
  }
  expect(identityOf(probe.pid)).toBe(null);
});
