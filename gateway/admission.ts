/** Whether somebody may send so many messages for an account now: asked before anything of a request has an effect. */

import type { Guard } from '../shared/auth.ts';
import type { Log } from '../shared/log.ts';
import { openRateLimit } from '../shared/rate-limit.ts';
import type { Redis } from '../shared/redis.ts';

/** Throws `forbidden` for another's account, `rate_limited` past a rate, `unavailable` when nobody knows. */
export type Admit = (request: Request, userId: string, messages: number) => Promise<void>;

export type Rates = {
  /** Messages a second of each account, and of each key that has no rate of its own; 0: no limit. */
  account: number;
  key: number;
};

const NOBODY = { key: null, rate: null } as const;

/** Null where neither keys nor rates are asked for: sends then cost nothing more. */
export function openAdmission(guard: Guard | null, rates: Rates, redis: Redis, log: Log): Admit | null {
  const byAccount = rates.account > 0 ? openRateLimit(redis, 'account', rates.account, log) : null;
  const byKey = guard === null ? null : openRateLimit(redis, 'key', rates.key, log);
  if (guard === null && byAccount === null) return null;
  return async (request, userId, messages) => {
    const { key, rate } = guard === null ? NOBODY : guard.owns(request, userId);
    const keyRate = key === null ? 0 : (rate ?? rates.key);
    // The key first: what it refuses must not stand in the way of the account's other keys.
    if (byKey !== null && key !== null && keyRate > 0) {
      const waits = byKey.take(key, messages, keyRate);
      if (waits) await waits;
    }
    if (byAccount === null) return;
    try {
      const waits = byAccount.take(userId, messages);
      if (waits) await waits;
    } catch (thrown) {
      if (key !== null && keyRate > 0) byKey?.giveBack(key, messages);
      throw thrown;
    }
  };
}
