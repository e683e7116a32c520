/**
 * One message on its way over one bind: it knows what became of each part, which parts may still be written, and when the whole
 * is decided.
 *
 * A part that fails stops the unwritten ones where the message cannot be whole any more, or where nothing of it was accepted yet
 * (then all of it is tried again later, or refused, as a whole). Throttled, transient and unwritten parts of a message of which some
 * part was accepted are sent again on the same bind, with growing pauses: a message in pieces helps nobody, and nobody else can
 * complete it. No part is written after `writeBy`: the claim that this is done under ends, and who claims next knows of no part.
 */
import type { SubmitOutcome } from '../connector.ts';
import { combineParts, type PartOutcome } from './smpp-outcome.ts';
import type { SubmitFields } from './smpp-pdu.ts';

/** Pauses before the parts that failed are sent again; as many tries. */
export const PART_RETRY_MS: readonly number[] = [500, 1_000, 2_000];

export type SubmitPart = {
  readonly fields: SubmitFields;
  readonly index: number;
  readonly sending: Sending;
  /** Monotonic; 0 while it is not written. */
  writtenAt: number;
};

/** What a sending asks of its bind. */
export type Carrier = {
  readonly bound: boolean;
  /** Sends these after a pause, or settles them as unwritten when the link is lost before. */
  later(parts: SubmitPart[], pauseMs: number): void;
};

export type Sending = {
  readonly parts: readonly SubmitPart[];
  /** Null when the part may be written now, else why not. */
  withheld(): 'expired' | 'stopped' | 'late' | null;
  settle(part: SubmitPart, outcome: PartOutcome): void;
};

/** @param writeBy monotonic, milliseconds */
export function createSending(
  fields: readonly SubmitFields[],
  carrier: Carrier,
  isValid: () => boolean,
  writeBy: number,
  onDecided: (outcome: SubmitOutcome) => void,
): Sending {
  const outcomes: PartOutcome[] = [];
  let open = fields.length;
  let accepted = 0;
  let stopped = false;
  let whole = true;
  let throttled = false;
  let tries = 0;
  let rewritten = 0;

  const note = (outcome: PartOutcome): void => {
    if (outcome.kind === 'accepted') accepted += 1;
    else if (outcome.kind === 'rejected' || outcome.kind === 'unknown') {
      whole = false;
      stopped = true;
    } else {
      if (outcome.kind === 'throttled') throttled = true;
      if (accepted === 0) stopped = true;
    }
  };

  const decide = (): void => {
    const pauseMs = PART_RETRY_MS[tries];
    const failed = fields.length - accepted;
    const inTime = pauseMs !== undefined && performance.now() + pauseMs < writeBy && isValid();
    if (accepted > 0 && failed > 0 && whole && inTime && carrier.bound) {
      tries += 1;
      const again = sending.parts.filter((part) => outcomes[part.index]?.kind !== 'accepted');
      rewritten += again.filter((part) => part.writtenAt > 0).length;
      open = failed;
      stopped = false;
      carrier.later(again, pauseMs);
      return;
    }
    const outcome = combineParts(outcomes);
    onDecided({
      ...outcome,
      ...(throttled && outcome.kind !== 'throttled' ? { throttled } : {}),
      ...(rewritten > 0 ? { rewritten } : {}),
    });
  };

  const sending: Sending = {
    parts: fields.map((field, index) => ({
      fields: field,
      index,
      writtenAt: 0,
      get sending() {
        return sending;
      },
    })),
    withheld: () => {
      if (stopped) return 'stopped';
      if (!isValid()) return 'expired';
      return performance.now() < writeBy ? null : 'late';
    },
    settle: (part, outcome) => {
      // Not written again: what became of it before stands.
      if (outcome.kind !== 'unwritten' || outcomes[part.index] === undefined) outcomes[part.index] = outcome;
      note(outcome);
      open -= 1;
      if (open === 0) decide();
    },
  };
  return sending;
}
