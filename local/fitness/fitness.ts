/** What was found at a configured address. */
export type Fitness =
  | { state: 'fit' }
  /** Nobody listens there. */
  | { state: 'absent' }
  /** It comes up at this moment, or hangs: asking again may help. */
  | { state: 'starting'; reason: string }
  /** Something is there that must not be used; the reason is one sentence with the mend. */
  | { state: 'unfit'; reason: string };

export const FIT: Fitness = { state: 'fit' };
export const ABSENT: Fitness = { state: 'absent' };
export const unfit = (reason: string): Fitness => ({ state: 'unfit', reason });
export const starting = (reason: string): Fitness => ({ state: 'starting', reason });

/** How long one question may take. */
export const ANSWER_WITHIN_MS = 3_000;
