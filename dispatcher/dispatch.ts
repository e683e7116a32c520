/** The dispatcher's middle: which operator's pump takes a message, and the operators as operator.json says now. */
import { ClaimCode } from '../shared/billing.ts';
import type { Producer } from '../shared/kafka-producer.ts';
import { errorFields, type Log } from '../shared/log.ts';
import type { PortedNumbers } from '../shared/ported.ts';
import type { OperatorSettings, OperatorsFile } from '../shared/sms/operators.ts';
import { buildRoutes, operatorOf, type Routes } from '../shared/sms/routes.ts';
import { LANES, type Lane } from '../shared/topics.ts';
import { createBreaker } from './breaker.ts';
import { breakerLog } from './change-log.ts';
import type { Connector, ConnectorEvents, SubmitOutcome } from './connector.ts';
import { createGiveWay } from './give-way.ts';
import { createInside } from './inside.ts';
import { learnPorted } from './learn.ts';
import type { Leases } from './lease.ts';
import type { Line } from './line.ts';
import { createNowhere } from './nowhere.ts';
import { createPump, type Pump } from './pump.ts';
import { createRate } from './rate.ts';
import type { PublishReceipt } from './receipts.ts';
import type { Records } from './records.ts';
import { passBy, type SettleDeps, settleOutcome, undoClaim } from './settle.ts';
import { createStandIns } from './stand-in.ts';
import type { Work } from './work.ts';

export type DispatchDeps = {
  records: Records;
  producer: Producer;
  connect: (settings: OperatorSettings, events: ConnectorEvents) => Connector;
  /** A message was claimed before its time: it waits on. */
  early: (work: Work, waitMs: number) => void;
  leases: Leases;
  ported: PortedNumbers;
  /** How long a learned number is remembered, milliseconds. */
  learnedForMs: number;
  queueMax: number;
  onDrained: (queue: string) => void;
  /** A message goes to another operator than its own. */
  onMoved: (from: string, to: string, why: 'fallback' | 'rerouted') => void;
  onReceipt: PublishReceipt;
  onSubmitted: (operator: string, lane: Lane, outcome: SubmitOutcome, seconds: number) => void;
  log: Log;
};

export type Dispatch = {
  route(lane: Lane, work: Work): string | null;
  /**
   * A message's attempt is in this process but once: a second record of it (a rebalance hands out again what is in flight)
   * answers false and is done when the first is.
   */
  enter(work: Work): boolean;
  /** The slot of a queue's operator; null where no operator has it. */
  slotOfQueue(queue: string): number | null;
  /** Whether a queue that was full holds several times as much by now. */
  brims(queue: string): boolean;
  wake(): void;
  lines(): Line[];
  /** The part of their room that campaigns have beside express. */
  othersShare(): number;
  /**
   * Takes a new operator.json whole or not at all: changed operators get a new line, the others go on as they are. Answers
   * false, with the reason in the log, when an operator's connector cannot be made.
   */
  reload(file: OperatorsFile): boolean;
  close(): Promise<void>;
};

const queueName = (operator: string, lane: Lane): string => `${operator}/${lane}`;
/** What a queue may hold at most, in times of its bound. */
const BRIM = 8;
/** The queue of messages that no operator of operator.json carries now. */
const NOWHERE = 'nowhere';

/** Throws when an operator's connector cannot be made. */
export function openDispatch(deps: DispatchDeps, file: OperatorsFile): Dispatch {
  const { records, producer, queueMax, onDrained, log } = deps;
  const lines = new Map<string, Line>();
  const retiring = new Set<Promise<void>>();
  const inside = createInside();
  const full = new Set<string>();
  let routes: Routes;
  let stopping = false;

  const giveWay = createGiveWay();
  const settleDeps: SettleDeps = {
    records,
    producer,
    slotOf: ({ event }) => lines.get(event.operator)?.settings.slot ?? 0,
    stopping: () => stopping,
    log,
  };
  const drained = (queue: string, length: number): void => {
    if (length < queueMax / 2 && full.delete(queue)) onDrained(queue);
  };

  const nowhere = createNowhere(log, (length) => drained(NOWHERE, length));

  /** Out of this process' way until then; whoever has its records in Kafka still waits for its end. */
  const rest = (work: Work, ms: number): void => deps.early({ ...work, done: inside.step(work) }, ms);

  const standIns = createStandIns({
    lines,
    queueMax,
    onMoved: deps.onMoved,
    push: (lane, work) => void push(lane, work),
  });

  const openLine = (settings: OperatorSettings): Line => {
    const { name } = settings;
    const rate = createRate();
    const breaker = createBreaker(settings.breaker, breakerLog(log, name));
    const connector = deps.connect(settings, {
      onReady: () => pump?.wake(),
      onReceipt: (receipt) => deps.onReceipt(name, receipt),
    });
    const lease = deps.leases.open(
      name,
      settings.tps,
      () => pump.waiting(),
      () => pump.wake(),
    );
    const pump: Pump = createPump({
      settings,
      connector,
      rate,
      lease,
      breaker,
      records,
      giveWay,
      settle: (work, operator, outcome) => {
        learnPorted(deps.ported, deps.learnedForMs, work, operator, outcome)?.catch((thrown) =>
          log.warn('ported_number_not_kept', { message_id: work.event.id, ...errorFields(thrown) }),
        );
        return settleOutcome(settleDeps, work, operator, outcome);
      },
      undo: (work, operator) => undoClaim(settleDeps, work, operator),
      rest,
      notClaimed: (work, result) => {
        if (result.code === ClaimCode.EARLY) rest(work, Number(result.not_before));
        else void passBy(settleDeps, work, result);
      },
      divert: (lane, work) => standIns.divert(name, lane, work),
      reroute: (lane, work) => standIns.reroute(name, lane, work),
      onDrained: (lane, length) => {
        drained(queueName(name, lane), length);
        standIns.drained(connector, length);
      },
      onSubmitted: deps.onSubmitted,
      log,
    });
    return { settings, pump, rate, breaker };
  };

  const retire = ({ settings, pump }: Line): void => {
    const closing = pump
      .close(({ lane, work }) => {
        if (stopping) return;
        push(lane, work);
        lineOf(work)?.pump.wake();
      })
      .finally(() => retiring.delete(closing));
    retiring.add(closing);
    // Its queues are empty or another line's now: what they had paused goes on, or is paused by that one again.
    for (const lane of LANES) drained(queueName(settings.name, lane), lines.get(settings.name)?.pump.queued(lane) ?? 0);
  };

  const apply = (next: OperatorsFile): void => {
    const opened = new Map<string, Line>();
    try {
      for (const settings of next.operators) {
        const before = lines.get(settings.name);
        if (before && JSON.stringify(before.settings) === JSON.stringify(settings)) opened.set(settings.name, before);
        else opened.set(settings.name, openLine(settings));
      }
    } catch (thrown) {
      for (const [name, line] of opened) if (lines.get(name) !== line) void line.pump.close(() => undefined);
      throw thrown;
    }
    routes = buildRoutes(next);
    const before = [...lines.values()];
    lines.clear();
    for (const [name, line] of opened) lines.set(name, line);
    for (const line of before) if (lines.get(line.settings.name) !== line) retire(line);
    for (const { lane, work } of nowhere.takeAll()) push(lane, work);
    drained(NOWHERE, nowhere.length);
    for (const line of lines.values()) line.pump.wake();
  };
  const reload = (next: OperatorsFile): boolean => {
    try {
      apply(next);
      return true;
    } catch (thrown) {
      log.error('operators_refused', errorFields(thrown));
      return false;
    }
  };

  /** A pinned message has one operator; another goes where its number does now, else where it was accepted for. */
  const lineOf = ({ event, pinned }: Work): Line | undefined => {
    if (pinned !== undefined) return lines.get(pinned);
    const ported = deps.ported.operatorOf(event.phone);
    const line = ported === undefined ? undefined : lines.get(ported);
    return line ?? lines.get(operatorOf(routes, event.phone) ?? '') ?? lines.get(event.operator);
  };

  /** The queue's name once it is full, null before. */
  const pausedBy = (queue: string, length: number): string | null => {
    if (length < queueMax) return null;
    full.add(queue);
    return queue;
  };
  const push = (lane: Lane, work: Work): string | null => {
    if (work.divertedFrom ?? work.reroutedFrom) {
      work.divertedFrom = undefined;
      work.reroutedFrom = undefined;
    }
    const line = lineOf(work);
    if (!line) {
      nowhere.push({ lane, work });
      return pausedBy(NOWHERE, nowhere.length);
    }
    const { settings, pump, breaker } = line;
    if (breaker.state(performance.now()) === 'open' && standIns.divert(settings.name, lane, work) === 'taken')
      return null;
    pump.push(lane, work);
    return pausedBy(queueName(settings.name, lane), pump.queued(lane));
  };

  apply(file);
  return {
    route: (lane, work) => push(lane, { ...work, done: () => inside.leave(work) }),
    enter: inside.enter,
    slotOfQueue: (queue) => lines.get(queue.split('/')[0] as string)?.settings.slot ?? null,
    brims: (queue) => {
      const [operator = '', lane] = queue.split('/') as [string, Lane];
      const length = queue === NOWHERE ? nowhere.length : (lines.get(operator)?.pump.queued(lane) ?? 0);
      return length >= queueMax * BRIM;
    },
    wake: () => {
      for (const { pump } of lines.values()) pump.wake();
    },
    lines: () => [...lines.values()],
    othersShare: () => giveWay.share(performance.now()),
    reload,
    close: async () => {
      stopping = true;
      nowhere.close();
      await Promise.all([...lines.values()].map(({ pump }) => pump.close(() => undefined)));
      await Promise.all(retiring);
    },
  };
}
