/** What the report tells Prometheus. */
import type { Metrics } from '../shared/metrics.ts';
import type { Written } from './write.ts';

export type ReportMetrics = ReturnType<typeof reportMetrics>;

export function reportMetrics(metrics: Metrics) {
  const rows = metrics.counter('rows_written_total', 'rows of messages written');
  const records = metrics.counter('records_read_total', 'records of Kafka written to PostgreSQL');
  const seconds = metrics.histogram('write_seconds', 'how long a write took, its retries included');
  const size = metrics.histogram(
    'write_batch_records',
    'records in one write',
    [],
    [1, 5, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000, 20_000],
  );
  const receipts = metrics.counter(
    'receipts_total',
    'delivery receipts by operator: matched, early (no message yet), waited (an early one that found its message), doubled, ' +
      'after_refund (history alone), unmatched (given up), settled_unknown (it proved that an unknown had arrived)',
    ['operator', 'outcome'],
  );
  const waiting = metrics.gauge(
    'receipts_waiting',
    'delivery receipts in PostgreSQL that wait for their message; the same in each replica',
    ['operator'],
  );
  const poison = metrics.counter('poison_records_total', 'records that could not be read; kept in poison_records');
  const expired = metrics.counter('expired_events_total', 'events of messages whose day was dropped');
  const lag = metrics.gauge('lag_records', 'records of a topic that PostgreSQL does not have yet', ['topic']);
  return {
    lag: (behind: ReadonlyMap<string, number>): void => {
      for (const [topic, count] of behind) lag.set({ topic }, count);
    },
    waiting: (byOperator: ReadonlyMap<string, number>): void => {
      // An operator of which none waits any more is told no more.
      waiting.reset();
      for (const [operator, count] of byOperator) waiting.set({ operator }, count);
    },
    wrote: (count: number, tookSeconds: number): void => {
      records.inc(count);
      size.observe(count);
      seconds.observe(tookSeconds);
    },
    written: (written: Written): void => {
      rows.inc(written.rows);
      for (const [operator, counts] of written.receipts)
        for (const [outcome, count] of Object.entries(counts)) receipts.inc({ operator, outcome }, count);
      poison.inc(written.poison);
      expired.inc(written.expired);
    },
    unmatched: (operator: string, count: number): void => receipts.inc({ operator, outcome: 'unmatched' }, count),
    unknownSettled: (operator: string): void => receipts.inc({ operator, outcome: 'settled_unknown' }),
  };
}
