/**
 * How much of their room campaigns get while one-time passwords are on their way. What both wait for is the machine, not a queue:
 * where billing, Redis or a core is taken up with a campaign, an express claim stands behind it at every hop. So the time that express
 * claims take is the measure: while it is too long the others are claimed fewer at a time, and get it back as it falls.
 */

/** How often it is thought over. */
const WINDOW_MS = 200;
/** An express claim takes no longer than this on average, or than it does here at best and half as much again. */
const TARGET_MS = 15;
const TARGET_TIMES_BEST = 1.5;
/**
 * So long the best time is believed. Then it is found anew: for two windows the others have their least, in the second of which nothing of
 * before is left. On a slow disk that shows that holding the others back makes no claim faster, and so it is not done.
 */
const BEST_GOOD_MS = 15_000;
const PROBE_WINDOWS = 2;
const FALL = 0.75;
const RISE = 0.05;
/** While no express comes at all. */
const RISE_ALONE = 0.2;
/** The others never stand still, whatever hurries. */
export const SHARE_MIN = 0.125;

export type GiveWay = {
  /** An express claim was answered, after so many milliseconds; its wait for a call included. */
  claimed(now: number, ms: number): void;
  /** The part of their room that the others may use, SHARE_MIN to 1. */
  share(now: number): number;
};

/** Begins at the least: a process that has just started is slow at everything. */
export function createGiveWay(): GiveWay {
  let share = SHARE_MIN;
  let windowBegan = 0;
  let sum = 0;
  let count = 0;
  let best = 0;
  let bestAt = Number.NEGATIVE_INFINITY;
  let probing = 0;

  const meet = (now: number, mean: number): void => {
    if (probing > 0) {
      probing -= 1;
      best = mean;
      bestAt = now;
    } else if (mean <= TARGET_MS) share = Math.min(1, share + RISE);
    else if (now - bestAt > BEST_GOOD_MS) probing = PROBE_WINDOWS;
    else {
      best = Math.min(best, mean);
      share = mean > TARGET_TIMES_BEST * best ? Math.max(SHARE_MIN, share * FALL) : Math.min(1, share + RISE);
    }
  };
  const look = (now: number): void => {
    if (now - windowBegan < WINDOW_MS) return;
    if (count > 0) meet(now, sum / count);
    else {
      probing = 0;
      share = Math.min(1, share + RISE_ALONE);
    }
    sum = 0;
    count = 0;
    windowBegan = now;
  };
  return {
    claimed: (now, ms) => {
      sum += ms;
      count += 1;
      look(now);
    },
    share: (now) => {
      look(now);
      return probing > 0 ? SHARE_MIN : share;
    },
  };
}
