/**
 * Claims and settlements through billing, coalesced; outcomes that Kafka confirmed ride along where nobody is in a hurry, or go alone
 * within half a second.
 */
import type { ClaimItem, ClaimResult, Published, SettleItem, SettleResult } from '../shared/billing.ts';
import { coalesce, URGENT_OVERLAP_MS } from '../shared/coalesce.ts';
import type { BillingClient } from '../shared/grpc.ts';
import { errorFields, type Log } from '../shared/log.ts';

const DEADLINE_MS = 4_000;
const FLUSH_AFTER_MS = 500;
const BATCH_MAX = 500;
/**
 * From one call to the next at least: a call costs both sides half a millisecond of CPU whatever it carries. A claim's pace keeps more
 * messages claimed, which a crash makes unknown; a settlement's keeps nothing but news.
 */
const CLAIM_PACE_MS = 10;
const SETTLE_PACE_MS = 50;
/** Express claims are few: on a busy billing the next one does not wait for the last one's answer. */
const EXPRESS = { inflightMax: 8, overlapMs: URGENT_OVERLAP_MS } as const;
const PUBLISHED_PER_CALL_MAX = 2_000;

export type Records = {
  /**
   * @param hurries express: it waits behind no batch of the others
   * @throws `unavailable` (not claimed) or `outcome_unknown` (perhaps claimed by us)
   */
  claim(item: ClaimItem, hurries: boolean): Promise<ClaimResult>;
  /** Numbers this process' claims, rising. */
  nextClaim(): number;
  settle(item: SettleItem): Promise<SettleResult>;
  published(outcome: Published): void;
  /** The smoothed time that a claim takes, its wait for a call included, milliseconds. */
  readonly claimMs: number;
  close(): Promise<void>;
};

/**
 * @param owner this process, in every claim
 * @param ttlMs after this long without a settlement a claim counts as left behind; asked at each call
 */
export function openRecords(billing: BillingClient, owner: string, ttlMs: () => number, log: Log): Records {
  let published: Published[] = [];
  let timer: ReturnType<typeof setTimeout> | null = null;
  let claimMs = 5;
  let claims = 0;

  const riding = async <T>(call: (published: Published[]) => Promise<T>): Promise<T> => {
    const ride = published.splice(0, PUBLISHED_PER_CALL_MAX);
    try {
      return await call(ride);
    } catch (thrown) {
      published = ride.concat(published);
      if (published.length > 0) schedule();
      throw thrown;
    }
  };
  const settleAll = (items: SettleItem[]): Promise<SettleResult[]> =>
    riding(async (ride) => (await billing.call('Settle', { owner, items, published: ride }, DEADLINE_MS)).results);
  const callClaim = async (items: ClaimItem[], ride: Published[]): Promise<ClaimResult[]> => {
    const startedAt = performance.now();
    const { results } = await billing.call('Claim', { owner, ttl_ms: ttlMs(), items, published: ride }, DEADLINE_MS);
    claimMs += (performance.now() - startedAt - claimMs) * 0.2;
    return results;
  };
  const flush = async (): Promise<void> => {
    timer = null;
    if (published.length === 0) return;
    await settleAll([]).catch((thrown) => log.debug('published_not_confirmed', errorFields(thrown)));
    if (published.length > 0) schedule();
  };
  const schedule = (): void => {
    timer ??= setTimeout(() => void flush(), FLUSH_AFTER_MS);
  };

  const claim = coalesce((items: ClaimItem[]) => riding((ride) => callClaim(items, ride)), {
    batchMax: BATCH_MAX,
    paceMs: CLAIM_PACE_MS,
  });
  // Nothing rides along: a one-time password would wait for what it carries, and for every shard that this is of.
  const claimExpress = coalesce((items: ClaimItem[]) => callClaim(items, []), { batchMax: BATCH_MAX, ...EXPRESS });
  const settle = coalesce(settleAll, { batchMax: BATCH_MAX, paceMs: SETTLE_PACE_MS });
  return {
    claim: (item, hurries) => (hurries ? claimExpress : claim)(item),
    nextClaim: () => ++claims,
    settle,
    published: (outcome) => {
      published.push(outcome);
      schedule();
    },
    get claimMs() {
      return claimMs + CLAIM_PACE_MS;
    },
    close: async () => {
      await Promise.all([claim.idle(), claimExpress.idle(), settle.idle()]);
      if (timer) clearTimeout(timer);
      await flush();
      if (timer) clearTimeout(timer);
    },
  };
}
