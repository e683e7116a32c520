/** Whether there is room for more messages: asked before anything of them has an effect. */
import { AppError } from '../shared/error.ts';

/** What is answered while there is no room. */
export const noRoom = (): AppError =>
  new AppError('unavailable', 'More is sent at the moment than can be taken; nothing was charged.');

/** Messages that wait for their hold. */
export type Gate = {
  /** Takes messages in and answers the instant, for `leave`. Throws `unavailable` while there is no room for them. */
  enter(messages: number): number;
  /**
   * They were answered, however.
   * @param measured they stood in the queue and were held: what is refused for itself says nothing of it
   */
  leave(messages: number, since: number, measured: boolean): void;
  /** Whether `enter` would throw now. */
  readonly full: boolean;
  /** How many may wait at once, at the moment. */
  readonly limit: number;
  readonly waiting: number;
};

/** How often the limit is thought over. */
const WINDOW_MS = 100;
/** A window with nothing in it for so long is begun anew. */
const STALE_MS = 1_000;
/** The limit never falls below it: so few are one call to billing, and a slow moment is no overload. */
const FLOOR = 256;
/** How fast the limit rises again while it is reached and nobody waits too long. */
const RISE = 1.125;

/**
 * Bounds what waits for a hold by how long it waits. A queue that even the quickest message of a tenth of a second had to stand in
 * for longer than the target is a standing one (the measure of CoDel, RFC 8289): more than is done a second comes in, and whoever
 * joins only makes everybody late. The limit is then as many as are done within the target, and the rest is refused at once; a burst
 * that is worked off in time is not.
 *
 * @param targetMs how long a message may wait for its hold
 * @param max the limit never rises above it
 * @param first the limit at the start: a flood that nobody has seen coming is taken in up to it
 * @param now monotonic milliseconds
 */
export function openGate(
  targetMs: number,
  max: number,
  first: number = max,
  now: () => number = () => performance.now(),
): Gate {
  const floor = Math.min(FLOOR, max);
  let limit = Math.min(first, max);
  let waiting = 0;
  let reached = false;
  let done = 0;
  let quickest = Number.POSITIVE_INFINITY;
  let windowBegan = now();
  let donePerMs = 0;

  const beginWindow = (at: number): void => {
    done = 0;
    quickest = Number.POSITIVE_INFINITY;
    windowBegan = at;
  };

  const thinkOver = (at: number): void => {
    const latest = done / (at - windowBegan);
    donePerMs = donePerMs === 0 ? latest : (donePerMs + latest) / 2;
    if (quickest > targetMs && quickest < Number.POSITIVE_INFINITY)
      limit = Math.max(floor, Math.min(limit, Math.floor(donePerMs * targetMs)));
    else if (reached) limit = Math.min(max, Math.ceil(limit * RISE));
    reached = waiting >= limit;
    beginWindow(at);
  };

  return {
    enter: (messages) => {
      if (waiting >= limit) {
        reached = true;
        throw noRoom();
      }
      const at = now();
      // Nothing was to be done until now: that says nothing of how much can be.
      if (waiting === 0 && at - windowBegan > STALE_MS) beginWindow(at);
      waiting += messages;
      return at;
    },
    leave: (messages, since, measured) => {
      waiting -= messages;
      if (measured) done += messages;
      const at = now();
      const waited = at - since;
      // What failed late failed for want of an answer: that is late as well.
      if ((measured || waited > targetMs) && waited < quickest) quickest = waited;
      if (at - windowBegan >= WINDOW_MS) thinkOver(at);
    },
    get full() {
      if (waiting < limit) return false;
      reached = true;
      return true;
    },
    get limit() {
      return limit;
    },
    get waiting() {
      return waiting;
    },
  };
}

/**
 * For single messages: a flood of campaigns refuses no one-time password. Batches are bounded by INFLIGHT_MAX among themselves
 * (batch.ts): whoever has thousands of messages in a few requests expects to wait, and cannot flood by that.
 */
export type Gates = { express: Gate; normal: Gate };

/** The limit at the start for single messages: about a second's. */
const FIRST = 2_000;

/** The gates of one gateway, all open. */
export function openGates(targetMs: number, max: number): Gates {
  return {
    express: openGate(targetMs, max, FIRST),
    normal: openGate(targetMs, max, FIRST),
  };
}
