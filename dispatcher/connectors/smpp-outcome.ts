/**
 * What became of a message of several parts. An accepted part is never sent again, so as soon as one was accepted the message is
 * accepted in part at the least, whatever the others met:
 *
 * | parts | outcome |
 * |---|---|
 * | all accepted | accepted |
 * | some accepted, any others rejected, throttled, transient, unknown or not written | accepted, acceptedParts < parts, `partError` of the worst other |
 * | none accepted, some unknown | unknown |
 * | none accepted or unknown, some transient | transient |
 * | none of those, some throttled | throttled |
 * | none of those, some rejected | rejected |
 * | none written | released |
 *
 * So a part that was not written counts only where no other part says anything. Throttled, transient and unwritten parts of a message
 * that has an accepted one are tried again by themselves first, a few times (smpp-sending.ts); the rest are what is left then.
 */
import type { SubmitOutcome } from '../connector.ts';

export type PartOutcome =
  | { kind: 'accepted'; operatorId: string }
  | { kind: 'rejected'; error: string; wrongNetwork: boolean }
  | { kind: 'throttled'; error: string }
  | { kind: 'transient'; error: string; linkFault: boolean }
  | { kind: 'unknown'; error: string; linkFault: boolean }
  | { kind: 'unwritten'; error: string; linkFault: boolean };

type Failure = Exclude<PartOutcome, { kind: 'accepted' }>;

/** From the worst, which decides. */
const WORST_FIRST: readonly Failure['kind'][] = ['unknown', 'transient', 'throttled', 'rejected', 'unwritten'];

export function combineParts(outcomes: readonly PartOutcome[]): SubmitOutcome {
  const operatorIds: string[] = [];
  let accepted = 0;
  let worst: Failure | null = null;
  for (const outcome of outcomes) {
    if (outcome.kind === 'accepted') {
      accepted += 1;
      if (outcome.operatorId !== '') operatorIds.push(outcome.operatorId);
    } else if (worst === null || WORST_FIRST.indexOf(outcome.kind) < WORST_FIRST.indexOf(worst.kind)) worst = outcome;
  }
  if (accepted > 0 || worst === null) {
    return {
      kind: 'accepted',
      operatorIds,
      acceptedParts: accepted,
      parts: outcomes.length,
      linkFault: false,
      ...(worst ? { partError: worst.error } : {}),
    };
  }
  switch (worst.kind) {
    case 'unknown':
      return { kind: 'unknown', error: worst.error, operatorIds, linkFault: worst.linkFault };
    case 'transient':
      return { kind: 'transient', error: worst.error, linkFault: worst.linkFault };
    case 'throttled':
      return { kind: 'throttled', error: worst.error, linkFault: false };
    case 'rejected':
      return { kind: 'rejected', error: worst.error, wrongNetwork: worst.wrongNetwork, linkFault: false };
    case 'unwritten':
      return { kind: 'released', error: worst.error, linkFault: worst.linkFault };
  }
}
