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
const ASK_AGAIN_MS = 5;
/** Submits that were leased and not used in this time are forgotten: somebody else has had the rate since. */
const STALE_MS = 200;

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

export type Leases = { open(operator: string, tps: number, wanted: () => number, onGranted: () => void): Lease };

export function openLeases(redis: Redis, log: Log): Leases {
  const script = defineScript(redis, 'jsms_lease', readFileSync(join(import.meta.dirname, 'lease.lua'), 'utf8'));
  return {
    /** @param wanted how many messages wait for a submit; asked at each lease */
    open: (operator, tps, wanted, onGranted) => {
      if (tps <= 0) return UNLIMITED;
      const most = Math.max(1, Math.floor(tps * PART));
      let tokens = 0;
      let grantedAt = 0;
      let asking = false;
      let timer: ReturnType<typeof setTimeout> | null = null;
      const askLater = (): void => {
        timer ??= setTimeout(
          () => {
            timer = null;
            void ask();
          },
          Math.max(ASK_AGAIN_MS, 500 / tps),
        );
      };
      const ask = async (): Promise<void> => {
        if (asking || tokens > 0) return;
        // A message of several pages may have taken more than was left: that is paid back first.
        const count = Math.min(most, wanted()) - Math.min(tokens, 0);
        if (count <= 0) return;
        asking = true;
        try {
          const granted = Number(await script(`{rate:${operator}}`, tps, count));
          tokens += granted;
          if (granted > 0) grantedAt = performance.now();
          if (tokens <= 0) askLater();
        } catch (thrown) {
          log.debug('lease_failed', { operator, ...errorFields(thrown) });
          askLater();
        } finally {
          asking = false;
        }
        if (tokens > 0) onGranted();
      };
      return {
        available: () => {
          if (tokens > 0 && performance.now() - grantedAt > STALE_MS) tokens = 0;
          if (tokens <= 0 && timer === null) void ask();
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
