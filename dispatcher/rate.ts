/**
 * How fast an operator that throttled may be submitted to by this process. A refusal for the rate halves what was achieved;
 * every quiet second lets it climb by a tenth until nothing holds it. `tps` is not its business: lease.ts. Pure over the
 * given clock.
 */

const CLIMB_PER_S = 1.1;
/** Halvings within this time count as one: a window's worth of refusals is one signal. */
const HALVE_ONCE_MS = 1_000;
const RATE_MIN = 1;

export type Rate = {
  /** Whole submits that may go now. */
  available(nowMs: number): number;
  take(nowMs: number, count: number): void;
  /** Gives back what was taken and not submitted. */
  giveBack(count: number): void;
  throttled(nowMs: number, retryAfterMs: number): void;
  /** Submits a second now; 0 when nothing limits it. */
  perSecond(nowMs: number): number;
  /** When a submit may go again, milliseconds from now; 0 when one may go now. */
  waitMs(nowMs: number): number;
};

export function createRate(): Rate {
  let limit = Number.POSITIVE_INFINITY;
  let tokens = 0;
  let at = 0;
  let halvedAt = Number.NEGATIVE_INFINITY;
  let pausedUntil = 0;
  let taken = 0;
  let windowAt = 0;
  let achieved = 0;

  const advance = (nowMs: number): void => {
    if (at === 0) at = nowMs;
    // A pause that the operator asked for is no quiet time.
    const elapsedS = Math.max(0, nowMs - Math.max(at, pausedUntil)) / 1_000;
    at = nowMs;
    if (Number.isFinite(limit)) {
      limit *= CLIMB_PER_S ** elapsedS;
      // Past four times of what the operator lately took in a second it is unlimited again.
      if (limit >= Math.max(achieved * 4, 100)) limit = Number.POSITIVE_INFINITY;
    }
    // At most a twentieth of a second is saved up, so that no second sees more than its rate by more than that.
    if (Number.isFinite(limit)) tokens = Math.min(tokens + elapsedS * limit, Math.max(1, limit * 0.05));
    if (nowMs - windowAt >= 1_000) {
      // While it pauses nothing can be taken: that says nothing of what it could take.
      achieved = Math.max(taken, nowMs < pausedUntil ? achieved : achieved / 2);
      taken = 0;
      windowAt = nowMs;
    }
  };

  return {
    available: (nowMs) => {
      advance(nowMs);
      if (nowMs < pausedUntil) return 0;
      return Number.isFinite(limit) ? Math.floor(tokens) : Number.MAX_SAFE_INTEGER;
    },
    take: (nowMs, count) => {
      advance(nowMs);
      taken += count;
      if (Number.isFinite(limit)) tokens -= count;
    },
    giveBack: (count) => {
      taken = Math.max(0, taken - count);
      if (Number.isFinite(limit)) tokens += count;
    },
    throttled: (nowMs, retryAfterMs) => {
      advance(nowMs);
      pausedUntil = Math.max(pausedUntil, nowMs + Math.max(retryAfterMs, 0));
      if (nowMs - halvedAt < HALVE_ONCE_MS) return;
      halvedAt = nowMs;
      // What was taken since the last look counts too: an operator may throttle within the first second of a burst.
      achieved = Math.max(achieved, taken);
      const base = Number.isFinite(limit) ? limit : Math.max(achieved, 2);
      limit = Math.max(RATE_MIN, base / 2);
      tokens = Math.min(tokens, 1);
    },
    perSecond: (nowMs) => {
      advance(nowMs);
      return Number.isFinite(limit) ? Math.round(limit * 10) / 10 : 0;
    },
    waitMs: (nowMs) => {
      advance(nowMs);
      if (nowMs < pausedUntil) return pausedUntil - nowMs;
      return !Number.isFinite(limit) || tokens >= 1 ? 0 : Math.ceil(((1 - tokens) / limit) * 1_000);
    },
  };
}
