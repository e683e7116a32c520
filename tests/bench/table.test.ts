import { expect, test } from 'bun:test';
import { medians } from '../../bench/peer.ts';
import { median, percentile } from '../../bench/statistics.ts';
import { tableOf } from '../../bench/table.ts';

test('a run is a column, a figure a row, a group its own rows; what a run does not have stays empty', () => {
  const table = tableOf([
    { title: 'send 64', figures: { final_per_s: 12_345, cpu_us: { gateway: 59.5 } } },
    { title: 'idle', figures: { services_percent_of_a_core: 1.25 } },
  ]);
  expect(table).toBe(
    [
      '                             send 64     idle',
      'end to end, messages/s        12,345',
      'CPU per message, µs',
      '  gateway                       59.5',
      'services percent of a core               1.25',
    ].join('\n'),
  );
});

test('medians are taken figure by figure, inside groups too', () => {
  const round = (final_per_s: number, gateway: number) => ({ final_per_s, cpu_us: { gateway } });
  expect(medians([round(1, 30), round(3, 10), round(2, 20)])).toEqual({ final_per_s: 2, cpu_us: { gateway: 20 } });
});

test('medians and percentiles are values that were measured', () => {
  expect([median([]), median([5]), median([4, 1]), median([3, 1, 2])]).toEqual([0, 5, 1, 2]);
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  expect([percentile(hundred, 0.5), percentile(hundred, 0.99), percentile(hundred, 1)]).toEqual([50, 99, 100]);
  expect(percentile([], 0.5)).toBe(0);
});
