/**
 * A circuit breaker per operator, fed by faults of the link alone: closed → open after so many faults in a row → half-open
 * after a rest, when a few probes may go → closed when as many got through, or open again. Pure over the given clock.
 *
 * From the first fault until the next answer only as many submits as probes are in flight: an operator that refuses connections
 * burns one window and a handful of messages, not one window a fault.
 */

/** Within this time the submits that one lost link fails count as one fault. */
const ONE_LOSS_MS = 50;

export type BreakerState = 'closed' | 'open' | 'half_open';
export type BreakerSettings = { failures: number; openMs: number; halfOpenProbes: number };

/** What a fault was besides a fault. */
export type Fault = {
  /** When the submit began; now, unless given. What began before the breaker's rest says nothing of the link after it. */
  startedMs?: number;
  /** The link was lost with everything that was in flight on it. */
  lost?: boolean;
  /** There was no link to submit over: as soon as there is one again, it may be tried. */
  down?: boolean;
};

export type Breaker = {
  state(nowMs: number): BreakerState;
  /** How many submits may be in flight now; infinite while nothing is wrong. */
  allowance(nowMs: number): number;
  record(nowMs: number, linkFault: boolean, fault?: Fault): void;
  /** The link stands again: a breaker that opened for want of one rests no longer. */
  linkMade(nowMs: number): void;
  /** When it may be tried again, milliseconds from now; 0 while it may. */
  waitMs(nowMs: number): number;
};

/** @param onChange told once of each change: of half-open, which comes by the clock alone, when somebody asks next */
export function createBreaker(
  { failures, openMs, halfOpenProbes }: BreakerSettings,
  onChange: (state: BreakerState) => void = () => undefined,
): Breaker {
  let faultsInARow = 0;
  let probesInARow = 0;
  let lostAt = Number.NEGATIVE_INFINITY;
  let openedAt: number | null = null;
  let wasDown = false;
  let told: BreakerState = 'closed';
  const state = (nowMs: number): BreakerState => {
    const now = openedAt === null ? 'closed' : nowMs - openedAt >= openMs ? 'half_open' : 'open';
    if (now !== told) {
      told = now;
      onChange(now);
    }
    return now;
  };
  const restsUntil = (): number => (openedAt ?? Number.NEGATIVE_INFINITY) + openMs;

  const recordFault = (nowMs: number, { startedMs = nowMs, lost = false, down = false }: Fault): void => {
    const now = state(nowMs);
    if (now === 'half_open' && startedMs < restsUntil()) return;
    if (!(lost && nowMs - lostAt < ONE_LOSS_MS)) faultsInARow += 1;
    if (lost) lostAt = nowMs;
    if (now === 'half_open' || (now === 'closed' && faultsInARow >= failures)) {
      openedAt = nowMs;
      probesInARow = 0;
      wasDown = down;
    }
  };
  const recordAnswer = (nowMs: number, startedMs: number): void => {
    const now = state(nowMs);
    if (now === 'closed') faultsInARow = 0;
    if (now !== 'half_open' || startedMs < restsUntil()) return;
    probesInARow += 1;
    if (probesInARow < halfOpenProbes) return;
    openedAt = null;
    faultsInARow = 0;
  };

  return {
    state,
    allowance: (nowMs) => {
      const now = state(nowMs);
      if (now === 'open') return 0;
      return now === 'half_open' || faultsInARow > 0 ? halfOpenProbes : Number.POSITIVE_INFINITY;
    },
    record: (nowMs, linkFault, fault = {}) => {
      if (linkFault) recordFault(nowMs, fault);
      else recordAnswer(nowMs, fault.startedMs ?? nowMs);
      state(nowMs);
    },
    linkMade: (nowMs) => {
      if (openedAt === null || !wasDown || state(nowMs) !== 'open') return;
      openedAt = nowMs - openMs;
    },
    waitMs: (nowMs) => (openedAt === null ? 0 : Math.max(0, openedAt + openMs - nowMs)),
  };
}
