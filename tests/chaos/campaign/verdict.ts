/** What fails a campaign. Pure. */
import { FAILPOINTS } from '../../../shared/failpoint.ts';
import type { Result } from './table.ts';

/**
 * A sentence for each reason why the run has failed; none for one as promised.
 * @param troubles faults that could not be done or healed: what was not done proves nothing
 */
export function complaintsOf(result: Result, troubles: readonly string[]): string[] {
  const { violations, ownEnds, failpoints, faults, messages, checks } = result;
  const missing = FAILPOINTS.filter((name) => !failpoints[name]);
  return [
    ...violations.map((violation) => `VIOLATION ${violation}`),
    ...ownEnds.map(({ service, at, words }) => `ENDED BY ITSELF ${service} at ${at}: ${words}`),
    ...troubles.map((trouble) => `TROUBLE ${trouble}`),
    ...missing.map((name) => `NOT REACHED ${name}: no process killed itself there`),
    ...(faults === 0 || messages === 0 || checks === 0 ? ['NOTHING DONE: no fault, no message or no check'] : []),
  ];
}
