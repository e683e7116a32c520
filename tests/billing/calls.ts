/** Billing's calls as its callers make them, with what a test does not care about filled in. */

import { type AccountDeps, topUp } from '../../billing/accounts.ts';
import {
  claim as claimCall,
  hold as holdCall,
  type MessageDeps,
  settle as settleCall,
} from '../../billing/messages.ts';
import { loadScripts, TIMES, type Times } from '../../billing/scripts.ts';
import type {
  ClaimItem,
  ClaimResult,
  HoldGroupReply,
  Published,
  SettleItem,
  SettleResult,
} from '../../shared/billing.ts';
import type { LedgerEvent, MessageEvent } from '../../shared/events.ts';
import { newId } from '../../shared/id.ts';
import type { Redis } from '../../shared/redis.ts';
import { SHARDS } from '../support/shards.ts';

/** An instant that everything is due by, epoch ms. */
export const EVER = 999_999_999_999_999;

/** What the relay's script answered to the gateway with the lease. */
export function relayed(answer: unknown) {
  const [reached, more, ...boxed] = answer as string[];
  const events = boxed.filter((_, i) => i % 2 === 1).map((event) => JSON.parse(event) as { id: string });
  return {
    reached: Number(reached),
    more: more === '1',
    dueAt: boxed.filter((_, i) => i % 2 === 0).map(Number),
    events,
  };
}

export const eventOf = (id: string, user: string, price: number, validUntil: number): MessageEvent => ({
  id,
  user_id: user,
  phone: '+989121234567',
  text: 'کد تایید: 1234',
  type: 'normal',
  lane: 'normal',
  sender: '3000',
  operator: 'MCI',
  encoding: 'ucs2',
  pages: 1,
  price,
  accepted_at: Date.now(),
  valid_until: validUntil,
});

export type Item = { id?: string; price: number; validMs?: number };
export type Group = { user: string; items: Item[]; key?: string; hash?: string; batch?: string; refused?: string };

const groupOf = ({ user, items, key = '', hash = '', batch = '', refused = '' }: Group) => ({
  user_id: user,
  idempotency_key: key,
  body_hash: hash,
  batch_id: batch,
  refused,
  items: items.map(({ id = newId(), price, validMs = 86_400_000 }) => {
    const validUntil = Date.now() + validMs;
    const event = Buffer.from(JSON.stringify(eventOf(id, user, price, validUntil)));
    return { message_id: id, price, valid_until: validUntil, event, answer: `answer of ${id}` };
  }),
});

export type Calls = ReturnType<typeof callsOn>;

/** @param times what differs from TIMES; retries wait 5, 30 and 120 s unless said otherwise */
export function callsOn(redis: Redis, times: Partial<Times> = {}) {
  const scripts = loadScripts(redis, SHARDS, { ...TIMES, retryWaitsMs: [5_000, 30_000, 120_000], ...times });
  let refusal: string | null = null;
  const deps: MessageDeps = { scripts, refusal: () => refusal };
  const ledger: LedgerEvent[] = [];
  const accounts: AccountDeps = { redis, scripts, publish: (_, event) => void ledger.push(event) };
  const settle = async (user: string, id: string, item: Partial<SettleItem>, owner = 'dispatcher') => {
    const whole = {
      attempt: 1,
      claim: 1,
      outcome: 0,
      operator: 'MCI',
      operator_ids: ['op-1'],
      amount: 0,
      error: '',
      flags: [],
    };
    const items = [{ user_id: user, message_id: id, ...whole, ...item }];
    return (await settleCall(deps, { owner, items, published: [] })).results[0] as SettleResult;
  };
  return {
    scripts,
    deps,
    ledger,
    refuse: (reason: string | null) => {
      refusal = reason;
    },
    topUp: (user: string, amount: number, key = '') =>
      topUp(accounts, { userId: user, kind: amount < 0 ? 'adjust' : 'topup', amount, reason: null, key }),
    hold: async (...groups: Group[]): Promise<HoldGroupReply[]> =>
      (await holdCall(deps, { groups: groups.map(groupOf), produced: [] })).groups,
    produced: (user: string, ...ids: string[]) =>
      holdCall(deps, { groups: [], produced: ids.map((message_id) => ({ user_id: user, message_id })) }),
    /** @param published rides along */
    claim: async (
      user: string,
      id: string,
      item: Partial<ClaimItem & { owner: string; ttl: number }> = {},
      published: Published[] = [],
    ) => {
      const { owner = 'dispatcher', ttl = 20_000, ...rest } = item;
      const whole = { attempt: 1, claim: 1, operator: 'MCI', resend_unknown: false, unknown_wait_ms: 60_000, ...rest };
      const items = [{ user_id: user, message_id: id, ...whole }];
      return (await claimCall(deps, { owner, ttl_ms: ttl, items, published })).results[0] as ClaimResult;
    },
    settle,
    published: (...published: Published[]) => settleCall(deps, { owner: 'dispatcher', items: [], published }),
  };
}
