/**
 * How much is claimed ahead of the submits. Whatever is claimed when the process dies becomes `unknown`, and what is not claimed in time
 * leaves the window empty: as much as one claim's round trip needs, and no more.
 */

/** Claims ahead of the window: at least, and at most so many windows. */
const COVER_MIN = 8;
const COVER_WINDOWS_MAX = 4;
/** Where a rate holds it back: what claims in hand may cover of it, seconds; more only where claiming itself takes longer. */
const AHEAD_OF_RATE_S = 0.25;
const AHEAD_OF_RATE_MAX_S = 1;

export type Cover = {
  /** So many slots more were submitted. */
  submitted(slots: number): void;
  /** How many slots to have claims for ahead of the window, where a claim takes so long. */
  size(now: number, claimMs: number): number;
};

/** Of the last half second: what a claim's round trip submits meanwhile. */
export function createCover(windowSize: number): Cover {
  let submitted = 0;
  let since = performance.now();
  let perMs = 0;
  return {
    submitted: (slots: number): void => {
      submitted += slots;
    },
    size: (now: number, claimMs: number): number => {
      if (now - since > 500) {
        perMs = submitted / (now - since);
        submitted = 0;
        since = now;
      }
      return Math.min(Math.ceil(perMs * claimMs * 1.5) + COVER_MIN, windowSize * COVER_WINDOWS_MAX);
    },
  };
}

/**
 * How many slots may wait for their submit with a claim in hand.
 * @param rate what throttling leaves, a second; 0 is unlimited, and so it is of `tps`
 * @param claimMs the time that a claim takes
 */
export function waitingMax(rate: number, tps: number, claimMs: number): number {
  const perSecond = Math.min(rate || Number.POSITIVE_INFINITY, tps || Number.POSITIVE_INFINITY);
  const aheadS = Math.min(Math.max(AHEAD_OF_RATE_S, claimMs / 500), AHEAD_OF_RATE_MAX_S);
  return Math.max(1, Math.ceil(perSecond * aheadS));
}
