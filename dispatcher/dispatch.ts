/** The dispatcher's middle: which operator's pump takes a message, and the operators as operator.json says now. */
import type { Producer } from '../shared/kafka-producer.ts';
import { errorFields } from '../shared/log.ts';
import type { OperatorsFile } from '../shared/sms/operators.ts';
import { buildRoutes, operatorOf, type Routes } from '../shared/sms/routes.ts';
import { LANES, type Lane } from '../shared/topics.ts';
import { createFullness } from './fullness.ts';
import { createGiveWay } from './give-way.ts';
import { createInside } from './inside.ts';
import type { Line } from './line.ts';
import { createNowhere } from './nowhere.ts';
import { type AroundLines, type LineDeps, openLine } from './open-line.ts';
import type { SettleDeps } from './settle.ts';
import { createStandIns } from './stand-in.ts';
import type { Work } from './work.ts';

export type DispatchDeps = LineDeps & {
  producer: Producer;
  /** A message was claimed before its time: it waits on. */
  early: (work: Work, waitMs: number) => void;
  queueMax: number;
  onDrained: (queue: string) => void;
  /** A message goes to another operator than its own. */
  onMoved: (from: string, to: string, why: 'fallback' | 'rerouted') => void;
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
/** The queue of messages that no operator of operator.json carries now. */
const NOWHERE = 'nowhere';

/** Throws when an operator's connector cannot be made. */
export function openDispatch(deps: DispatchDeps, file: OperatorsFile): Dispatch {
  const { records, producer, queueMax, onDrained, log } = deps;
  const lines = new Map<string, Line>();
  const retiring = new Set<Promise<void>>();
  const inside = createInside();
  const { pausedBy, drained, brims } = createFullness(queueMax, onDrained);
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
  const nowhere = createNowhere(log, (length) => drained(NOWHERE, length));

  /** Out of this process' way until then; whoever has its records in Kafka still waits for its end. */
  const rest = (work: Work, ms: number): void => deps.early({ ...work, done: inside.step(work) }, ms);

  const standIns = createStandIns({
    lines,
    queueMax,
    onMoved: deps.onMoved,
    push: (lane, work) => void push(lane, work),
  });

  const around: AroundLines = {
    settleDeps,
    giveWay,
    standIns,
    rest,
    onDrained: (operator, lane, length) => drained(queueName(operator, lane), length),
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
        else opened.set(settings.name, openLine(deps, around, settings));
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
      return brims(length);
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
