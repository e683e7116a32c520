/** Clients as they are: single sends and batches of several accounts at a steady rate, top-ups, and some who have no money. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../simulation/random.ts';
import { newPhone } from '../../support/phones.ts';
import type { Told } from '../history.ts';
import { OPERATORS } from './operators.ts';
import type { World } from './world.ts';

export const ACCOUNTS = ['a', 'b', 'c', 'd', 'e'] as const;
/** Topped up with nothing: whatever it sends must be refused and leave nothing. */
const POOR = 'poor';
const FUNDS = 1_000_000_000;
const TOP_UP = 777;

const TICK_MS = 20;
const TOP_UP_EVERY_MS = 300;
const REQUESTS_MAX = 256;
const BATCH_MAX = 40;
/** The share of messages that come in batches. */
const BATCHED = 0.7;
const ASK_WITHIN_MS = 10_000;
const GIVE_UP_AFTER_MS = 90_000;

export type Load = {
  /** What clients were told since the epoch began. */
  readonly told: readonly Told[];
  /** By account: Rials that it was topped up with in this epoch. */
  readonly charged: ReadonlyMap<string, number>;
  /** Messages accepted since the start. */
  readonly accepted: number;
  /** Accounts of a name of their own, each with its funds; what was told before is forgotten. */
  begin(epoch: number): Promise<void>;
  go(): void;
  /** No new sends; resolves when every client was told something for certain, or gave up. */
  pause(): Promise<void>;
  close(): Promise<void>;
};

type Answer = { status: number; json: Record<string, unknown> | null };
type Result = { message_id?: string; price?: number; error?: { code: string } };

async function post(url: string, body: unknown, key?: string): Promise<Answer | null> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ASK_WITHIN_MS),
    });
    const text = await response.text();
    return { status: response.status, json: text.startsWith('{') ? JSON.parse(text) : null };
  } catch {
    return null;
  }
}

export function createLoad(world: World, ratePerS: number, random: Random, prefix: string): Load {
  let told: Told[] = [];
  let charged = new Map<string, number>();
  let accepted = 0;
  let epoch = 0;
  let going = false;
  let closed = false;
  let requests = 0;
  let keys = 0;
  const operators = Object.values(OPERATORS);
  const gateway = (): string => random.pick(world.gateways);
  const account = (name: string): string => `${prefix}e${epoch}-${name}`;
  const accept = (userId: string, { message_id: id = '', price = 0 }: Result): void => {
    accepted += 1;
    told.push({ kind: 'accepted', id, price, userId });
  };

  /** Asks until the answer is certain; null when nobody knows. Without a key a client asks once. */
  const ask = async (path: string, body: unknown, key: string | undefined): Promise<Answer | null> => {
    const until = performance.now() + GIVE_UP_AFTER_MS;
    for (let unsure = false; ; ) {
      const answer = await post(gateway() + path, body, key);
      if (answer?.status === 202) return answer;
      const unknown = answer === null || answer.json?.code === 'outcome_unknown';
      if (key === undefined) return unknown ? null : answer;
      // What is refused now may have been accepted before, when nobody answered: only the answer to its key tells.
      unsure ||= unknown;
      if (!unsure && answer !== null && answer.status !== 503 && answer.status !== 429) return answer;
      if (performance.now() > until) return unsure ? null : answer;
      await delay(100 + random.between(0, 200));
    }
  };

  const message = (n: number) => ({
    phone: newPhone(operators[n % operators.length]?.prefix ?? ''),
    text: n % 5 === 0 ? `کد تایید: ${n}` : `message ${n}`,
    type: n % 4 === 0 ? 'express' : 'normal',
  });

  const single = async (): Promise<void> => {
    const poor = random.chance(0.02);
    const userId = account(poor ? POOR : random.pick(ACCOUNTS));
    const key = poor || random.chance(0.125) ? undefined : `${prefix}${++keys}`;
    const answer = await ask('/send', { ...message(random.between(0, 1_000_000)), user_id: userId }, key);
    if (answer === null) told.push({ kind: 'unknown', id: null, userId });
    else if (answer.status === 202) accept(userId, answer.json as Result);
    else told.push({ kind: 'refused', userId });
  };

  const batch = async (size: number): Promise<void> => {
    const userId = account(random.pick(ACCOUNTS));
    // One of them cannot be sent, which must not be the others' trouble.
    const messages = Array.from({ length: size }, (_, i) =>
      i === 7 ? { phone: '12', text: 'no number' } : message(i),
    );
    const key = random.chance(0.125) ? undefined : `${prefix}${++keys}`;
    const answer = await ask('/send/batch', { user_id: userId, messages }, key);
    const results = answer?.status === 202 ? ((answer.json?.results ?? []) as Result[]) : messages.map(() => ({}));
    for (const result of results as Result[]) {
      const unknown = answer === null || result.error?.code === 'outcome_unknown';
      if (result.message_id !== undefined) accept(userId, result);
      else told.push(unknown ? { kind: 'unknown', id: null, userId } : { kind: 'refused', userId });
    }
  };

  /** With a key, until it is answered: then it was counted once. */
  const topUp = async (userId: string, amount: number): Promise<void> => {
    const key = `${prefix}${++keys}`;
    for (;;) {
      const answer = await post(`${world.urls.billing}/charge/${userId}?amount=${amount}`, undefined, key);
      if (answer?.status === 200) break;
      if (closed) return;
      await delay(200);
    }
    charged.set(userId, (charged.get(userId) ?? 0) + amount);
  };

  const counted = async (work: Promise<void>): Promise<void> => {
    requests += 1;
    await work.finally(() => {
      requests -= 1;
    });
  };
  const loop = async (): Promise<void> => {
    let due = 0;
    let before = performance.now();
    let topUpAt = 0;
    while (!closed) {
      await delay(TICK_MS);
      const now = performance.now();
      // What could not be sent because all clients wait is not made up for.
      due = going ? Math.min(due + ((now - before) / 1_000) * ratePerS, ratePerS) : 0;
      before = now;
      if (going && now > topUpAt) {
        topUpAt = now + TOP_UP_EVERY_MS;
        void counted(topUp(account(random.pick(ACCOUNTS)), TOP_UP));
      }
      while (due >= 1 && requests < REQUESTS_MAX) {
        const size = random.chance(BATCHED / (BATCH_MAX / 2) / (1 - BATCHED)) ? random.between(1, BATCH_MAX) : 1;
        due -= size;
        void counted(size === 1 ? single() : batch(size));
      }
    }
  };
  const looping = loop();

  return {
    get told() {
      return told;
    },
    get charged() {
      return charged;
    },
    get accepted() {
      return accepted;
    },
    begin: async (next) => {
      epoch = next;
      told = [];
      charged = new Map([[account(POOR), 0]]);
      await Promise.all(ACCOUNTS.map((name) => topUp(account(name), FUNDS)));
    },
    go: () => {
      going = true;
    },
    pause: async () => {
      going = false;
      while (requests > 0) await delay(TICK_MS);
    },
    close: async () => {
      going = false;
      closed = true;
      await looping;
    },
  };
}
