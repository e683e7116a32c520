/**
 * The faults, each a function that does it, heals it and resolves. What is chosen (for how long, how much) comes from the
 * seed, so that a seed is a schedule; what the machine makes of it is not.
 */
import { FAILPOINTS } from '../../../shared/failpoint.ts';
import type { Random } from '../../simulation/random.ts';
import { atFailpoint } from './failpoint-faults.ts';
import type { Fault, OnHit } from './fault.ts';
import { LINK_FAULTS, OPERATOR_FAULTS } from './link-faults.ts';
import { PROCESS_FAULTS } from './process-faults.ts';
import { RECORD_FAULTS } from './record-faults.ts';

/** Every fault there is but the failpoints. */
export const FAULTS: readonly Fault[] = [...PROCESS_FAULTS, ...LINK_FAULTS, ...OPERATOR_FAULTS, ...RECORD_FAULTS];

const shuffled = <T>(list: readonly T[], random: Random): T[] =>
  list
    .map((one) => [random.float(), one] as const)
    .sort(([a], [b]) => a - b)
    .map(([, one]) => one);

/**
 * The endless row of faults of a seed: all of them in one order, then all again in another. The failpoints come within the
 * first round, every second fault one of them, so that a short run meets each.
 */
export function* faultsBySeed(random: Random, onHit: OnHit): Generator<Fault> {
  for (;;) {
    const points = shuffled(FAILPOINTS, random).map((name) => atFailpoint(name, onHit));
    for (const fault of shuffled(FAULTS, random)) {
      const point = points.pop();
      if (point) yield point;
      yield fault;
    }
  }
}
