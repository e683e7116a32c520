/**
 * Who carries a message that its own operator does not: a fallback while that one is not well, the next operator when it says
 * that the number is another's.
 */
import type { Lane } from '../shared/topics.ts';
import type { Connector } from './connector.ts';
import type { Line } from './line.ts';
import type { Diverted } from './pump-deps.ts';
import type { Work } from './work.ts';

/** Messages of another operator that may wait at one which stands in: its own ones wait behind them. */
const GUESTS_MIN = 32;

export type StandInDeps = {
  /** By name, in the order of the file. */
  lines: ReadonlyMap<string, Line>;
  queueMax: number;
  /** A message goes to another operator than its own. */
  onMoved: (from: string, to: string, why: 'fallback' | 'rerouted') => void;
  /** Back to where the message belongs now. */
  push: (lane: Lane, work: Work) => void;
};

export type StandIns = ReturnType<typeof createStandIns>;

export function createStandIns({ lines, queueMax, onMoved, push }: StandInDeps) {
  /** Operators whose messages wait for room at one that stands in. */
  const guests = new Set<string>();

  /** Later, because it is called from inside a pump that is taking from its queue. */
  const callGuests = (): void => {
    const names = [...guests];
    guests.clear();
    setImmediate(() => {
      for (const name of names) lines.get(name)?.pump.wake();
    });
  };
  const guestsMax = ({ windowSize }: Connector): number => Math.min(queueMax, Math.max(GUESTS_MIN, windowSize));

  const pushTo = ({ pump }: Line, lane: Lane, work: Work): void => {
    pump.push(lane, work);
    pump.wake();
  };
  /** A breaker that is half-open lets probes go, whoever's they are. */
  const isFit = ({ breaker, pump }: Line): boolean => {
    const now = performance.now();
    const state = breaker.state(now);
    return (
      pump.connector.ready && (state === 'closed' || (state === 'half_open' && pump.busy < breaker.allowance(now)))
    );
  };
  const hasRoom = ({ pump }: Line, lane: Lane): boolean => pump.queued(lane) < guestsMax(pump.connector);

  /**
   * The first of the operator's fallbacks that is fit carries the message meanwhile, or its own operator when that is fit again;
   * after an unknown outcome no other operator may.
   */
  const divert = (from: string, lane: Lane, work: Work): Diverted => {
    if (work.pinned !== undefined || work.reroutedFrom !== undefined) return 'stays';
    const home = work.divertedFrom ?? from;
    const names = [...(home === from ? [] : [home]), ...(lines.get(home)?.settings.fallback ?? [])];
    for (const name of names) {
      const line = name === from ? undefined : lines.get(name);
      if (line === undefined || !isFit(line)) continue;
      if (!hasRoom(line, lane)) {
        guests.add(from);
        continue;
      }
      onMoved(from, name, 'fallback');
      pushTo(line, lane, { ...work, divertedFrom: name === home ? undefined : home });
      return 'taken';
    }
    return home === from ? 'nobody' : 'stays';
  };

  /**
   * The next operator is tried once: a fallback, else whoever comes next in the file. One that is fit goes before one that is not, at
   * which the message waits if there is room for guests.
   */
  const reroute = (from: string, lane: Lane, work: Work): (() => void) | null => {
    if (work.pinned !== undefined || work.reroutedFrom !== undefined) return null;
    const names = [...lines.keys()];
    const at = names.indexOf(from);
    const fallback = lines.get(from)?.settings.fallback ?? [];
    const others = [...fallback, ...names.slice(at + 1), ...names.slice(0, Math.max(0, at))].filter(
      (name) => name !== from && lines.has(name),
    );
    const next =
      others.find((name) => isFit(lines.get(name) as Line)) ??
      others.find((name) => hasRoom(lines.get(name) as Line, lane));
    if (next === undefined) return null;
    return () => {
      const line = lines.get(next);
      if (!line) return push(lane, work);
      onMoved(from, next, 'rerouted');
      pushTo(line, lane, { ...work, reroutedFrom: from });
    };
  };

  return {
    divert,
    reroute,
    /** A queue of this operator shrank: there may be room for guests. */
    drained: (connector: Connector, length: number): void => {
      if (guests.size > 0 && length < guestsMax(connector) / 2) callGuests();
    },
  };
}
