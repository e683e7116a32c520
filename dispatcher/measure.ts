/** The dispatcher's metrics. */
import type { Metrics } from '../shared/metrics.ts';
import { LANES, type Lane } from '../shared/topics.ts';
import type { BreakerState } from './breaker.ts';
import type { SubmitOutcome } from './connector.ts';
import type { Dispatch } from './dispatch.ts';
import { isReceiving, type Line, rateNow } from './line.ts';
import { linksAnswer } from './operator-answer.ts';

const BREAKER: Readonly<Record<BreakerState, number>> = { closed: 0, half_open: 1, open: 2 };

/** What is counted as it happens. */
export function dispatcherCounters(metrics: Metrics) {
  const submits = metrics.counter('submits_total', 'submits by operator, lane and outcome', [
    'operator',
    'lane',
    'outcome',
  ]);
  const seconds = metrics.histogram('submit_seconds', 'time of a submit by operator', ['operator']);
  const poison = metrics.counter('poison_records_total', 'Kafka records that are no messages, passed by', ['topic']);
  const moved = metrics.counter('moved_total', 'messages that another operator than their own was given', [
    'from',
    'to',
    'why',
  ]);
  return {
    submitted: (operator: string, lane: Lane, { kind }: SubmitOutcome, took: number): void => {
      submits.inc({ operator, lane, outcome: kind });
      seconds.observe({ operator }, took);
    },
    moved: (from: string, to: string, why: 'fallback' | 'rerouted'): void => moved.inc({ from, to, why }),
    poison: (topic: string): void => poison.inc({ topic }),
  };
}

/** What of each operator is a level rather than a count: read when the metrics are asked for. */
export function measureLines(metrics: Metrics, { lines, othersShare }: Pick<Dispatch, 'lines' | 'othersShare'>): void {
  const level = (noun: string, help: string, read: (line: Line) => number): void => {
    metrics.gauge(noun, help, ['operator'], (gauge) => {
      gauge.reset();
      for (const line of lines()) gauge.set({ operator: line.settings.name }, read(line));
    });
  };
  level('breaker_state', '0 closed, 1 half-open, 2 open', ({ breaker }) => BREAKER[breaker.state(performance.now())]);
  level('ready_operators', '1 when it can be submitted to', ({ pump }) => (pump.connector.ready ? 1 : 0));
  level('receiving_operators', '1 when its receipts can come', ({ pump }) =>
    isReceiving(pump.connector.state()) ? 1 : 0,
  );
  level('window_slots', 'submits that may be in flight', ({ pump }) => pump.connector.windowSize);
  level('inflight_submits', 'submits in flight', ({ pump }) => pump.connector.state().inflight);
  level('rate_per_second', 'pages a second that may go now, by tps and throttling; 0 is unlimited', (line) =>
    rateNow(line, performance.now()),
  );
  measureLinks(metrics, lines);
  metrics.gauge('others_share', 'part of their room that campaigns have beside express', [], (gauge) =>
    gauge.set(othersShare()),
  );
  metrics.gauge('queued_messages', 'messages that wait in this process', ['operator', 'lane'], (gauge) => {
    gauge.reset();
    for (const { settings, pump } of lines())
      for (const lane of LANES) gauge.set({ operator: settings.name, lane }, pump.queued(lane));
  });
}

/** SMPP: the binds and what came over them. */
function measureLinks(metrics: Metrics, lines: Dispatch['lines']): void {
  const binds = (noun: string, help: string, counts: (state: string) => boolean): void => {
    metrics.gauge(noun, help, ['operator', 'role'], (gauge) => {
      gauge.reset();
      for (const { settings, pump } of lines())
        for (const { role, state } of pump.connector.state().binds)
          gauge.inc({ operator: settings.name, role }, counts(state) ? 1 : 0);
    });
  };
  binds('binds', 'SMPP binds of operator.json', () => true);
  binds('bound_binds', 'SMPP binds that are bound', (state) => state === 'bound');
  const help = 'what came over SMPP links besides answers, and links lost; from 0 when an operator is set anew';
  metrics.counter('link_events_total', help, ['operator', 'event'], (counter) => {
    counter.reset();
    for (const { settings, pump } of lines()) {
      const { counters } = pump.connector.state();
      for (const [event, count] of Object.entries(counters ? linksAnswer(counters) : {}))
        counter.inc({ operator: settings.name, event }, count);
    }
  });
}
