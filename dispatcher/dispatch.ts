/** The dispatcher's middle: which operator's pump takes a message, and the operators as operator.json says now. */
import { ClaimCode } from '../shared/billing.ts';
import type { Producer } from '../shared/kafka.ts';
import { errorFields, type Log } from '../shared/log.ts';
import type { PortedNumbers } from '../shared/ported.ts';
import type { OperatorSettings, OperatorsFile } from '../shared/sms/operators.ts';
import { buildRoutes, operatorOf, type Routes } from '../shared/sms/routes.ts';
import type { Lane } from '../shared/topics.ts';
import { type Breaker, createBreaker } from './breaker.ts';
import type { Connector, ConnectorEvents, OperatorReceipt, SubmitOutcome } from './connector.ts';
import type { Leases } from './lease.ts';
import { createPump, type Pump } from './pump.ts';
import { createRate, type Rate } from './rate.ts';
import type { Records } from './records.ts';
import { passBy, type SettleDeps, settleOutcome, undoClaim } from './settle.ts';
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
  onReceipt: (operator: string, receipt: OperatorReceipt) => Promise<void>;
  onSubmitted: (operator: string, lane: Lane, outcome: SubmitOutcome, seconds: number) => void;
  log: Log;
};

export type Line = { settings: OperatorSettings; pump: Pump; rate: Rate; breaker: Breaker };

export type Dispatch = {
  route(lane: Lane, work: Work): string | null;
  /**
   * A message's attempt is in this process but once: a second record of it (a rebalance hands out again what is in flight)
   * answers false and is done when the first is.
   */
  enter(work: Work): boolean;
  wake(): void;
  lines(): Line[];
  /** Takes a new operator.json: changed operators get a new line, the others go on as they are. */
  reload(file: OperatorsFile): void;
  close(): Promise<void>;
};

const queueName = (operator: string, lane: Lane): string => `${operator}/${lane}`;

export function openDispatch(deps: DispatchDeps, file: OperatorsFile): Dispatch {
  const { records, producer, queueMax, onDrained, log } = deps;
  const lines = new Map<string, Line>();
  const retiring = new Set<Promise<void>>();
  const inside = new Map<string, (() => void)[]>();
  const full = new Set<string>();
  let routes: Routes;
  let stopping = false;

  const settleDeps: SettleDeps = {
    records,
    producer,
    slotOf: ({ event }) => lines.get(event.operator)?.settings.slot ?? 0,
    stopping: () => stopping,
    log,
  };
  const keyOf = ({ event, attempt }: Work): string => `${event.id}/${attempt}`;
  const leave = (work: Work): void => {
    const key = keyOf(work);
    const dones = inside.get(key) ?? [];
    inside.delete(key);
    for (const done of dones) done();
  };

  const openLine = (settings: OperatorSettings): Line => {
    const { name } = settings;
    const rate = createRate();
    const breaker = createBreaker(settings.breaker);
    const connector = deps.connect(settings, {
      onReady: () => pump?.wake(),
      onReceipt: (receipt) => deps.onReceipt(name, receipt),
    });
    const lease = deps.leases.open(
      name,
      settings.tps,
      () => pump.waiting,
      () => pump.wake(),
    );
    const pump: Pump = createPump({
      settings,
      connector,
      rate,
      lease,
      breaker,
      records,
      settle: (work, operator, outcome) => {
        if (outcome.kind === 'accepted' && work.reroutedFrom !== undefined) learn(work, operator);
        return settleOutcome(settleDeps, work, operator, outcome);
      },
      undo: (work, operator) => undoClaim(settleDeps, work, operator),
      notClaimed: (work, result) => {
        if (result.code === ClaimCode.EARLY) {
          const dones = inside.get(keyOf(work)) ?? [];
          inside.delete(keyOf(work));
          deps.early({ ...work, done: () => dones.forEach((done) => void done()) }, Number(result.not_before));
        } else void passBy(settleDeps, work, result);
      },
      divert: (lane, work) => divert(settings, lane, work),
      reroute: (lane, work) => reroute(settings, lane, work),
      onDrained: (lane, length) => {
        const queue = queueName(name, lane);
        if (length < queueMax / 2 && full.delete(queue)) onDrained(queue);
      },
      onSubmitted: deps.onSubmitted,
      log,
    });
    return { settings, pump, rate, breaker };
  };

  const pushTo = ({ pump }: Line, lane: Lane, work: Work): void => {
    pump.push(lane, work);
    pump.wake();
  };
  const isFit = ({ breaker, pump }: Line): boolean =>
    breaker.state(performance.now()) === 'closed' && pump.connector.ready;
  const firstFit = (names: readonly string[], except: string): Line | undefined =>
    names.map((name) => lines.get(name)).find((line) => line && line.settings.name !== except && isFit(line));

  /** The first fallback that is fit carries the message meanwhile; after an unknown outcome no other operator may. */
  const divert = (from: OperatorSettings, lane: Lane, work: Work): boolean => {
    if (work.pinned !== undefined || work.reroutedFrom !== undefined) return false;
    const divertedFrom = work.divertedFrom ?? from.name;
    const line = firstFit(from.fallback, divertedFrom);
    if (line) pushTo(line, lane, { ...work, divertedFrom });
    return line !== undefined;
  };

  /** The next operator is tried once: a fallback, else whoever comes next in the file. */
  const reroute = (from: OperatorSettings, lane: Lane, work: Work): boolean => {
    if (work.pinned !== undefined) return false;
    const names = [...lines.keys()];
    const at = names.indexOf(from.name);
    const line = firstFit([...from.fallback, ...names.slice(at + 1), ...names.slice(0, at)], from.name);
    if (line) pushTo(line, lane, { ...work, reroutedFrom: from.name });
    return line !== undefined;
  };

  const learn = ({ event }: Work, operator: string): void => {
    const at = Date.now();
    deps.ported
      .set(event.phone, { operator, until: at + deps.learnedForMs, source: 'learned', at })
      .catch((thrown) => log.warn('ported_number_not_kept', { message_id: event.id, ...errorFields(thrown) }));
  };

  const reload = (next: OperatorsFile): void => {
    routes = buildRoutes(next);
    const named = new Set(next.operators.map(({ name }) => name));
    const retire = ({ pump }: Line): void => {
      const closing = pump.close().then((left) => {
        retiring.delete(closing);
        if (!stopping) for (const { lane, work } of left) push(lane, work);
        for (const line of lines.values()) line.pump.wake();
      });
      retiring.add(closing);
    };
    for (const [name, line] of lines) {
      if (named.has(name)) continue;
      lines.delete(name);
      retire(line);
    }
    for (const settings of next.operators) {
      const before = lines.get(settings.name);
      if (before && JSON.stringify(before.settings) === JSON.stringify(settings)) continue;
      lines.set(settings.name, openLine(settings));
      if (before) retire(before);
    }
    for (const line of lines.values()) line.pump.wake();
  };

  const lineOf = (work: Work): Line => {
    const { event } = work;
    const name =
      work.pinned ?? deps.ported.operatorOf(event.phone) ?? operatorOf(routes, event.phone) ?? event.operator;
    return (lines.get(name) ?? lines.get(event.operator) ?? lines.values().next().value) as Line;
  };

  const push = (lane: Lane, work: Work): string | null => {
    const { settings, pump, breaker } = lineOf(work);
    if (breaker.state(performance.now()) === 'open' && divert(settings, lane, work)) return null;
    pump.push(lane, work);
    const queue = queueName(pump.name, lane);
    if (pump.queued(lane) < queueMax) return null;
    full.add(queue);
    return queue;
  };

  reload(file);
  return {
    route: (lane, work) => push(lane, { ...work, done: () => leave(work) }),
    enter: (work) => {
      const key = keyOf(work);
      const dones = inside.get(key);
      if (dones) dones.push(work.done);
      else inside.set(key, [work.done]);
      return dones === undefined;
    },
    wake: () => {
      for (const { pump } of lines.values()) pump.wake();
    },
    lines: () => [...lines.values()],
    reload,
    close: async () => {
      stopping = true;
      await Promise.all([...lines.values()].map(({ pump }) => pump.close()));
      await Promise.all(retiring);
    },
  };
}
