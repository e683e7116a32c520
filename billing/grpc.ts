/** billing's gRPC door: each call a batch, counted and timed. */
import { AppError } from '../shared/error.ts';
import type { BillingHandlers } from '../shared/grpc.ts';
import type { Metrics } from '../shared/metrics.ts';
import type { Redis } from '../shared/redis.ts';
import { readBalance } from './accounts.ts';
import { claim, hold, type MessageDeps, settle } from './messages.ts';
import { relay } from './relay.ts';

/** A failure after the script may have run is an unknown outcome: it must not reach the caller as "nothing was done". */
async function timed<T>(seconds: { observe(value: number): void }, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  try {
    return await work();
  } catch (thrown) {
    throw thrown instanceof AppError
      ? thrown
      : new AppError('outcome_unknown', 'The balances did not answer in time.', { cause: thrown });
  } finally {
    seconds.observe((performance.now() - startedAt) / 1_000);
  }
}

export function billingHandlers(deps: MessageDeps, redis: Redis, metrics: Metrics): BillingHandlers {
  const items = metrics.counter('items_total', 'items of batched calls', ['method']);
  const seconds = metrics.histogram('call_seconds', 'time of a batched call', ['method']);
  const timer = {
    Hold: seconds.labels('Hold'),
    Claim: seconds.labels('Claim'),
    Settle: seconds.labels('Settle'),
    Relay: seconds.labels('Relay'),
  };
  return {
    Hold: (request) => {
      items.inc({ method: 'Hold' }, request.groups.length);
      return timed(timer.Hold, () => hold(deps, request));
    },
    Claim: (request) => {
      items.inc({ method: 'Claim' }, request.items.length);
      return timed(timer.Claim, () => claim(deps, request));
    },
    Settle: (request) => {
      items.inc({ method: 'Settle' }, request.items.length);
      return timed(timer.Settle, () => settle(deps, request));
    },
    Relay: (request) => timed(timer.Relay, () => relay(deps.scripts, request)),
    GetBalance: async ({ user_id }) => {
      const { open, ...balance } = await readBalance(redis, deps.scripts.shards, user_id);
      return { ...balance, open_holds: open };
    },
  };
}
