/** Learning ported numbers from what operators say of them. */
import type { PortedNumbers } from '../shared/ported.ts';
import type { SubmitOutcome } from './connector.ts';
import type { Work } from './work.ts';

/**
 * An operator took the number of another one, which is remembered; or refused one that it was learned for.
 * @param forMs how long it is remembered
 * @returns what rejects where it could not be kept, null where there was nothing to learn
 */
export function learnPorted(
  ported: PortedNumbers,
  forMs: number,
  { event, reroutedFrom }: Work,
  operator: string,
  outcome: SubmitOutcome,
): Promise<unknown> | null {
  if (outcome.kind === 'accepted' && reroutedFrom !== undefined) {
    const at = Date.now();
    return ported.set(event.phone, { operator, until: at + forMs, source: 'learned', at });
  }
  if (outcome.kind !== 'rejected' || !outcome.wrongNetwork) return null;
  const known = ported.entry(event.phone);
  if (known?.source === 'learned' && known.operator === (reroutedFrom ?? operator)) return ported.remove(event.phone);
  return null;
}
