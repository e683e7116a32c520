/**
 * An operator's `tps` for all dispatchers together: submits are leased from Redis a few at a time, ahead of their need and
 * without a hop per message. Without Redis nothing is granted, as nothing can be claimed either.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorFields, type Log } from '../shared/log.ts';
import { defineScript, type Redis } from '../shared/redis.ts';

/** Of a second's submits, the part that one lease may carry. */
const PART = 1 / 25;
const ASK_AGAIN_MS = 2;
const AFTER_FAILURE_MS = 100;
/** Submits that were leased and not used in this time are forgotten: somebody else has had the rate since. */
const STALE_MS = 500;

/** Slots of messages that wait for a submit. */
export type Wanted = { express: number; others: number };

export type Lease = {
  /** Submits that may go now. */
  available(): number;
  take(count: number): void;
  giveBack(count: number): void;
};

/** No limit: an operator without `tps`. */
export const UNLIMITED: Lease = {
  available: () => Number.MAX_SAFE_INTEGER,
  take: () => undefined,
  giveBack: () => undefined,
};

export type Leases = { open(operator: string, tps: number, wanted: () => Wanted, onGranted: () => void): Lease };

export function openLeases(redis: Redis, log: Log): Leases {
  const script = defineScript(redis, 'jsms_lease', readFileSync(join(import.meta.dirname, 'lease.lua'), 'utf8'));
  return {
    /** @param wanted asked at each lease */
    open: (operator, tps, wanted, onGranted) => {
      if (tps <= 0) return UNLIMITED;
      const most = Math.max(1, Math.floor(tps * PART));
      let tokens = 0;
      let grantedAt = 0;
      let asking = false;
      /** Monotonic: before it nobody will be granted anything. */
      let notBefore = 0;
      let timer: ReturnType<typeof setTimeout> | null = null;
      const askLater = (): void => {
        timer ??= setTimeout(
          () => {
            timer = null;
            void ask();
          },
          Math.max(ASK_AGAIN_MS, Math.ceil(notBefore - performance.now())),
        );
      };
      const ask = async (): Promise<void> => {
        if (asking || tokens > 0) return;
        const { express, others } = wanted();
        // A message of several pages may have taken more than was left: that is paid back first.
        const debt = -Math.min(tokens, 0);
        const first = Math.min(most, express) + debt;
        const rest = Math.min(most - Math.min(most, express), others);
        if (first + rest <= 0) return;
        asking = true;
        try {
          const [granted = 0, waitMs = 0] = (await script(`{rate:${operator}}`, tps, first, rest)) as number[];
          const now = performance.now();
          tokens += granted;
          notBefore = now + waitMs;
          if (granted > 0) grantedAt = now;
        } catch (thrown) {
          notBefore = performance.now() + AFTER_FAILURE_MS;
          log.debug('lease_failed', { operator, ...errorFields(thrown) });
        } finally {
          asking = false;
        }
        if (tokens > 0) onGranted();
        else askLater();
      };
      return {
        available: () => {
          if (tokens > 0 && performance.now() - grantedAt > STALE_MS) tokens = 0;
          if (tokens <= 0 && timer === null) {
            if (performance.now() < notBefore) askLater();
            else void ask();
          }
          return tokens;
        },
        take: (count) => {
          tokens -= count;
          if (tokens <= 0) askLater();
        },
        giveBack: (count) => {
          tokens += count;
        },
      };
    },
  };
}
