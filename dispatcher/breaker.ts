/**
 * A circuit breaker per operator, fed by faults of the link alone: closed → open after so many faults in a row → half-open
 * after a rest, when a few probes may go → closed when they all got through, or open again. Pure over the given clock.
 */

/** Faults that come this close to one another count once. */
const ONE_FAULT_MS = 50;

export type BreakerState = 'closed' | 'open' | 'half_open';
export type BreakerSettings = { failures: number; openMs: number; halfOpenProbes: number };

export type Breaker = {
  state(nowMs: number): BreakerState;
  /** How many submits may be in flight now; infinite while closed. */
  allowance(nowMs: number): number;
  record(nowMs: number, linkFault: boolean): void;
  /** When it may be tried again, milliseconds from now; 0 while it may. */
  waitMs(nowMs: number): number;
};

export function createBreaker({ failures, openMs, halfOpenProbes }: BreakerSettings): Breaker {
  let faultsInARow = 0;
  let probesInARow = 0;
  let faultAt = Number.NEGATIVE_INFINITY;
  let openedAt: number | null = null;
  const state = (nowMs: number): BreakerState => {
    if (openedAt === null) return 'closed';
    return nowMs - openedAt >= openMs ? 'half_open' : 'open';
  };
  return {
    state,
    allowance: (nowMs) => ({ closed: Number.POSITIVE_INFINITY, half_open: halfOpenProbes, open: 0 })[state(nowMs)],
    record: (nowMs, linkFault) => {
      const now = state(nowMs);
      if (linkFault) {
        // A lost link fails a whole window at once: that is one fault.
        if (nowMs - faultAt >= ONE_FAULT_MS || now === 'half_open') {
          faultsInARow += 1;
          faultAt = nowMs;
        }
        if (now === 'half_open' || (now === 'closed' && faultsInARow >= failures)) {
          openedAt = nowMs;
          probesInARow = 0;
        }
        return;
      }
      faultsInARow = 0;
      // Answers to submits from before it opened say nothing of the link now.
      if (now !== 'half_open') return;
      probesInARow += 1;
      if (probesInARow >= halfOpenProbes) openedAt = null;
    },
    waitMs: (nowMs) => (openedAt === null ? 0 : Math.max(0, openedAt + openMs - nowMs)),
  };
}
