/** One claim, from a message's place in the queue to what billing said. */
import { ClaimCode, type ClaimItem } from '../shared/billing.ts';
import { AppError } from '../shared/error.ts';
import { failpoint } from '../shared/failpoint.ts';
import { errorFields } from '../shared/log.ts';
import type { Lane } from '../shared/topics.ts';
import type { Claimed, PumpDeps } from './pump-deps.ts';
import { type Side, sideOf } from './submit.ts';
import type { Work } from './work.ts';

const RETRY_MS = 250;

export type Claimer = {
  /** Claims a message and hands it on; never rejects. */
  claim(lane: Lane, work: Work): Promise<void>;
  /** Slots of the claims that have no answer yet. */
  readonly claiming: Readonly<Record<Side, number>>;
  /** A claim failed: no other is to be tried before, by the monotonic clock. */
  readonly restUntil: number;
};

/**
 * @param onClaimed may be submitted, by us alone
 * @param putBack back to its place in its lane, for another claim
 * @param wake a claim has its answer
 */
export function createClaimer(
  { settings, connector, records, giveWay, notClaimed, undo, log }: PumpDeps,
  onClaimed: (claimed: Claimed) => void,
  putBack: (lane: Lane, work: Work) => void,
  wake: () => void,
): Claimer {
  const { name } = settings;
  const claiming = { express: 0, others: 0 };
  let restUntil = 0;

  const itemOf = ({ event, attempt, claim }: Work, lane: Lane): ClaimItem => ({
    user_id: event.user_id,
    message_id: event.id,
    attempt,
    claim,
    operator: name,
    resend_unknown: settings.onUnknown[lane === 'express' ? 'express' : 'normal'] === 'resend',
    unknown_wait_ms: settings.unknownWaitMs,
  });

  const claim = async (lane: Lane, work: Work): Promise<void> => {
    const slots = connector.slotsOf(work.event);
    claiming[sideOf(lane)] += slots;
    const at = performance.now();
    work.claim = records.nextClaim();
    failpoint('dispatcher.before_claim');
    try {
      const result = await records.claim(itemOf(work, lane), lane === 'express');
      if (lane === 'express') giveWay.claimed(performance.now(), performance.now() - at);
      if (result.code === ClaimCode.CLAIMED) {
        failpoint('dispatcher.after_claim');
        onClaimed({ work, lane, at, slots });
      } else notClaimed(work, result);
    } catch (thrown) {
      restUntil = performance.now() + RETRY_MS;
      log.debug('claim_failed', { message_id: work.event.id, ...errorFields(thrown) });
      // A claim whose answer was lost may be ours: it is handed back before it is asked for again.
      if (!(thrown instanceof AppError && thrown.code === 'unavailable')) await undo(work, name);
      putBack(lane, work);
    } finally {
      claiming[sideOf(lane)] -= slots;
      wake();
    }
  };

  return {
    claim,
    claiming,
    get restUntil() {
      return restUntil;
    },
  };
}
