/** One submit, from its tokens to its settlement. */
import { failpoint } from '../shared/failpoint.ts';
import type { Lane } from '../shared/topics.ts';
import type { SubmitOutcome } from './connector.ts';
import type { Cover } from './cover.ts';
import type { Claimed, PumpDeps } from './pump-deps.ts';
import type { Work } from './work.ts';

const EXPIRED_REST_MS = 1_000;

export type Side = 'express' | 'others';
export const sideOf = (lane: Lane): Side => (lane === 'express' ? 'express' : 'others');

export type Counters = Record<SubmitOutcome['kind'], number>;

export type Submitter = {
  /** Submits and settles a message for which the window, the rate and the lease have room; never rejects. */
  submit(claimed: Claimed, now: number): Promise<void>;
  /** Slots of the submits that have no answer yet. */
  readonly submitting: Readonly<Record<Side, number>>;
  readonly counters: Counters;
};

/**
 * @param cover is told of each submit
 * @param putBack back to its place in its lane, for another claim
 * @param wake a slot is free
 */
export function createSubmitter(
  deps: PumpDeps,
  cover: Cover,
  putBack: (lane: Lane, work: Work) => void,
  wake: () => void,
): Submitter {
  const { settings, connector, rate, lease, breaker } = deps;
  const { name } = settings;
  const submitting = { express: 0, others: 0 };
  const counters: Counters = { accepted: 0, rejected: 0, transient: 0, throttled: 0, unknown: 0, released: 0 };

  /** Operators count what they are sent: pages, or the parts where those are more. */
  const takeRate = (now: number, count: number): void => {
    rate.take(now, count);
    lease.take(count);
  };
  const countOf = ({ work, slots }: Claimed): number => Math.max(work.event.pages, slots);

  const submit = ({ work: { event, attempt }, lane }: Claimed): Promise<SubmitOutcome> =>
    connector.submit({
      messageId: event.id,
      attempt,
      to: event.phone,
      from: event.sender,
      text: event.text,
      encoding: event.encoding,
      pages: event.pages,
      lane,
      validUntil: event.valid_until,
    });

  /** What the outcome says of the link and of the rate. */
  const heed = (now: number, startedMs: number, claimed: Claimed, outcome: SubmitOutcome): void => {
    counters[outcome.kind] += 1;
    if (outcome.kind === 'released') {
      rate.giveBack(countOf(claimed));
      lease.giveBack(countOf(claimed));
    } else
      breaker.record(now, outcome.linkFault, {
        startedMs,
        lost: 'error' in outcome && outcome.error === 'connection_lost',
      });
    if (outcome.kind === 'throttled') rate.throttled(now, outcome.retryAfterMs ?? 0);
    else if (outcome.throttled) rate.throttled(now, 0);
    if (outcome.rewritten !== undefined) takeRate(now, outcome.rewritten);
  };

  const submitOne = async (claimed: Claimed): Promise<void> => {
    const { work, lane, slots } = claimed;
    const startedMs = performance.now();
    submitting[sideOf(lane)] += slots;
    const outcome = await submit(claimed);
    failpoint('dispatcher.after_submit');
    const now = performance.now();
    submitting[sideOf(lane)] -= slots;
    cover.submitted(slots);
    heed(now, startedMs, claimed, outcome);
    deps.onSubmitted(name, lane, outcome, (now - startedMs) / 1_000);
    wake();
    if (outcome.kind === 'rejected' && outcome.wrongNetwork) {
      const handToNext = deps.reroute(lane, work);
      if (handToNext) {
        // Refused for good here, so the claim is undone: the next operator's submit is claimed anew.
        await deps.undo(work, name);
        handToNext();
        return;
      }
    }
    if ((await deps.settle(work, name, outcome)) !== 'again') return;
    // Past its validity by this machine's clock and not by billing's: it rests until billing's says so too.
    if (outcome.kind === 'released' && outcome.error === 'expired') deps.rest(work, EXPIRED_REST_MS);
    else putBack(lane, work);
  };

  return {
    submit: (claimed, now) => {
      takeRate(now, countOf(claimed));
      return submitOne(claimed);
    },
    submitting,
    counters,
  };
}
