/** Hold calls, coalesced; productions that Kafka confirmed ride along where nobody is in a hurry, or go alone within half a second. */
import {
  HoldCode,
  type HoldGroup,
  type HoldGroupReply,
  HoldOutcome,
  type HoldRequest,
  type Ref,
} from '../shared/billing.ts';
import { coalesce, URGENT_OVERLAP_MS } from '../shared/coalesce.ts';
import { AppError } from '../shared/error.ts';
import type { BillingClient } from '../shared/grpc.ts';
import { errorFields, type Log } from '../shared/log.ts';

const DEADLINE_MS = 3_000;
const FLUSH_AFTER_MS = 500;
/** Messages of one Hold call; a batch of more goes alone. Larger ones are hardly cheaper, and a one-time password waits behind them. */
const BATCH_MAX = 128;
/** Hold calls on their way at once: what billing has before it, everybody waits for. */
const INFLIGHT_MAX = 2;
/** Express calls hold little. Under a flood a call is long on its way, and the next password does not wait for it to come back. */
const EXPRESS = { inflightMax: 8, overlapMs: URGENT_OVERLAP_MS } as const;
const PRODUCED_PER_CALL_MAX = 5_000;

export type Holds = {
  /** Throws `unavailable` (nothing was done) or `outcome_unknown` (the hold stands or not, whole either way). */
  hold(group: HoldGroup, express?: boolean): Promise<HoldGroupReply>;
  /** Kafka has this message: it leaves the outbox with the next call. */
  produced(ref: Ref): void;
  close(): Promise<void>;
};

/** `doubtful`: refused by a second call, after the first one's answer was lost: the first may hold all the same. */
type Answered = { reply: HoldGroupReply; doubtful: boolean };

const refuses = ({ outcome, codes }: HoldGroupReply): boolean =>
  outcome === HoldOutcome.OVERLOADED || (outcome === HoldOutcome.HELD && codes.some((code) => code !== HoldCode.OK));

export function openHolds(billing: BillingClient, log: Log): Holds {
  let produced: Ref[] = [];
  let timer: ReturnType<typeof setTimeout> | null = null;

  /** A lost answer is asked for once more with the same ids: their records make a repetition harmless. */
  const callTwice = async (request: HoldRequest): Promise<Answered[]> => {
    try {
      return (await billing.call('Hold', request, DEADLINE_MS)).groups.map((reply) => ({ reply, doubtful: false }));
    } catch (thrown) {
      if (!(thrown instanceof AppError) || thrown.code !== 'outcome_unknown') throw thrown;
      const second = await billing.call('Hold', request, DEADLINE_MS).catch(() => {
        // Whatever the second call failed with, the first one may have had its effect.
        throw thrown;
      });
      return second.groups.map((reply) => ({ reply, doubtful: refuses(reply) }));
    }
  };

  const callCarrying = async (groups: HoldGroup[]): Promise<Answered[]> => {
    const riding = produced.splice(0, PRODUCED_PER_CALL_MAX);
    try {
      return await callTwice({ groups, produced: riding });
    } catch (thrown) {
      produced = riding.concat(produced);
      schedule();
      throw thrown;
    }
  };

  const flush = async (): Promise<void> => {
    timer = null;
    if (produced.length === 0) return;
    await callCarrying([]).catch((thrown) => log.debug('produced_not_confirmed', errorFields(thrown)));
    if (produced.length > 0) schedule();
  };
  const schedule = (): void => {
    timer ??= setTimeout(() => void flush(), FLUSH_AFTER_MS);
  };

  const lane = { batchMax: BATCH_MAX, weigh: ({ items }: HoldGroup) => items.length || 1, inflightMax: INFLIGHT_MAX };
  const holdNormal = coalesce(callCarrying, lane);
  // A queue of its own, and nothing rides along: a one-time password stands behind no campaign that waits for its calls, nor waits
  // for what it carries and for every shard that this is of.
  const holdExpress = coalesce((groups: HoldGroup[]) => callTwice({ groups, produced: [] }), { ...lane, ...EXPRESS });

  return {
    hold: async (group, express = false) => {
      const { reply, doubtful } = await (express ? holdExpress(group) : holdNormal(group));
      if (doubtful) throw new AppError('outcome_unknown', 'Billing did not answer in time.');
      if (reply.outcome === HoldOutcome.OVERLOADED)
        throw new AppError('unavailable', 'Too much is in flight at the moment; nothing was charged.');
      return reply;
    },
    produced: (ref) => {
      produced.push(ref);
      schedule();
    },
    close: async () => {
      await Promise.all([holdNormal.idle(), holdExpress.idle()]);
      if (timer) clearTimeout(timer);
      await flush();
      if (timer) clearTimeout(timer);
    },
  };
}
