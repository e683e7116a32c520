/** What a fault of the campaign is. */
import type { Failpoint } from '../../../shared/failpoint.ts';
import type { Random } from '../../simulation/random.ts';
import type { OperatorName } from './operators.ts';
import type { World } from './world.ts';

export type Fault = {
  /** The row of the table. */
  kind: string;
  /** What no other fault may touch meanwhile. */
  targets: readonly string[];
  /** Operators whose submits may be refused or lost on the way while it lasts. */
  refuses?: readonly OperatorName[];
  run(world: World, random: Random): Promise<void>;
};

/** The failpoint was armed and the process went past it: it killed itself there. */
export type OnHit = (name: Failpoint) => void;
