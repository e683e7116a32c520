/** Chance by seed: the same seed makes the same choices, on any machine. */

export type Random = {
  /** 0 to 1, without 1. */
  float(): number;
  /** A whole number from `from` to `to`, both included. */
  between(from: number, to: number): number;
  chance(probability: number): boolean;
  pick<T>(list: readonly T[]): T;
};

/** sfc32 over a seed of 53 bits, after Chris Doty-Humphrey's PractRand. */
export function createRandom(seed: number): Random {
  let a = 0x9e3779b9;
  let b = Math.floor(seed / 0x100000000) | 0;
  let c = seed | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 15; i += 1) next();
  const float = (): number => next() / 0x100000000;
  return {
    float,
    between: (from, to) => from + Math.floor(float() * (to - from + 1)),
    chance: (probability) => float() < probability,
    pick: (list) => list[Math.floor(float() * list.length)] as never,
  };
}
