/** Top-ups, corrections, balances and the audit of one account. */
import { createHash } from 'node:crypto';
import type { Fetch } from '../shared/credentials.ts';
import { AppError } from '../shared/error.ts';
import type { LedgerEvent } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
import { newId } from '../shared/id.ts';
import { TOTAL_MAX_RIALS } from '../shared/money.ts';
import type { Redis } from '../shared/redis.ts';
import type { Scripts } from './scripts.ts';
import type { Shards } from './shard.ts';

export type TopUp = { userId: string; kind: 'topup' | 'adjust'; amount: number; reason: string | null; key: string };
export type TopUpAnswer = { user_id: string; transaction_id: string; amount: number; available: number };
export type Balance = { available: number; held: number; posted: number; topped_up: number };

export type AccountDeps = {
  redis: Redis;
  scripts: Scripts;
  /** Publishes a ledger entry that is already durable in Redis; the sweeper does it when this fails. */
  publish: (tag: string, event: LedgerEvent) => void;
};

const TRIES = 2;

/**
 * Books a top-up or a correction; durable when it resolves. Throws `idempotency_conflict`, `insufficient_balance`,
 * `invalid_request` past the bound, or `outcome_unknown` when Redis' answer was lost twice.
 */
export async function topUp(
  { scripts, publish }: AccountDeps,
  command: TopUp,
): Promise<{ answer: TopUpAnswer; replayed: boolean }> {
  const { userId, kind, amount, reason, key } = command;
  const event: LedgerEvent = { transaction_id: newId(), user_id: userId, kind, amount, reason, at: Date.now() };
  const hash = createHash('sha256')
    .update(JSON.stringify([kind, amount, reason]))
    .digest('base64url');
  const tag = scripts.shards.tagOf(userId);
  const run = async (triesLeft: number): Promise<[number, string, string]> => {
    try {
      return (await scripts.topup(
        tag,
        userId,
        event.transaction_id,
        amount,
        key,
        hash,
        JSON.stringify(event),
        TOTAL_MAX_RIALS,
      )) as [number, string, string];
    } catch (thrown) {
      // The script is idempotent by the transaction id, so a lost answer may be asked for again.
      if (thrown instanceof AppError) {
        if (triesLeft === TRIES) throw thrown;
      } else if (triesLeft > 1) return run(triesLeft - 1);
      throw new AppError(
        'outcome_unknown',
        'The balances did not answer in time. Look at the statement, or repeat with the same Idempotency-Key.',
        {
          cause: thrown,
          extra: { transaction_id: event.transaction_id },
        },
      );
    }
  };
  const [outcome, available, transactionId] = await run(TRIES);
  if (outcome === 2) throw new AppError('idempotency_conflict', 'This key booked another amount before.');
  if (outcome === 3) {
    throw new AppError('invalid_request', 'The account would pass the most that top-ups may sum to.', {
      fields: [{ field: 'amount', detail: `all top-ups of an account stay at or below ${TOTAL_MAX_RIALS} Rials` }],
    });
  }
  if (outcome === 4) throw new AppError('insufficient_balance', 'A correction cannot take more than is available.');
  failpoint('billing.topup_after_script');
  if (outcome === 0) publish(tag, event);
  return {
    answer: { user_id: userId, transaction_id: transactionId, amount, available: Number(available) },
    replayed: outcome === 1,
  };
}

export async function readBalance(redis: Redis, shards: Shards, userId: string): Promise<Balance & { open: number }> {
  if (redis.status !== 'ready') throw new AppError('unavailable', 'The balances cannot be reached at the moment.');
  const fields = ['available', 'held', 'posted', 'topped_up', 'open'] as const;
  const values = await redis.hmget(`${shards.tagOf(userId)}:a:${userId}`, ...fields).catch((thrown: unknown) => {
    throw new AppError('unavailable', 'The balances cannot be reached at the moment.', { cause: thrown });
  });
  const [available = 0, held = 0, posted = 0, topped_up = 0, open = 0] = values.map((value) => Number(value ?? 0));
  return { available, held, posted, topped_up, open };
}

/** PostgreSQL's own account, as the report answers it. */
export type ReportTotals = {
  topped_up: number;
  posted: number;
  watermark: { records_behind: number; read_until: string | null };
};

export type Audit = {
  user_id: string;
  redis: Balance & { open_holds: number };
  postgres: { topped_up: number; posted: number } | null;
  lag: { topped_up: number | null; posted: number | null; records: number | null; read_until: string | null };
  balanced: boolean;
};

/**
 * The two records side by side. Balanced means: in Redis, top-ups = available + held + posted, and PostgreSQL's own sums are
 * the same as Redis'. While something travels (`lag` is not zero) it is false and says by how much.
 */
export function auditOf(userId: string, balance: Balance & { open: number }, totals: ReportTotals | null): Audit {
  const { open, ...redis } = balance;
  const conserved =
    redis.topped_up === redis.available + redis.held + redis.posted && redis.available >= 0 && redis.held >= 0;
  const lag = {
    topped_up: totals && redis.topped_up - totals.topped_up,
    posted: totals && redis.posted - totals.posted,
    records: totals?.watermark.records_behind ?? null,
    read_until: totals?.watermark.read_until ?? null,
  };
  return {
    user_id: userId,
    redis: { ...redis, open_holds: open },
    postgres: totals && { topped_up: totals.topped_up, posted: totals.posted },
    lag,
    balanced: conserved && lag.topped_up === 0 && lag.posted === 0,
  };
}

/** Asks the report for PostgreSQL's sums; null when it does not answer within 2 s. */
export async function askReport(call: Fetch, reportUrl: string, userId: string): Promise<ReportTotals | null> {
  try {
    const response = await call(`${reportUrl}/accounts/${userId}/totals`, { signal: AbortSignal.timeout(2_000) });
    return response.ok ? ((await response.json()) as ReportTotals) : null;
  } catch {
    return null;
  }
}
