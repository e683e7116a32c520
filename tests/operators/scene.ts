/** What the operators' tests share: three operators by two protocols, many messages at once, and what became of them. */
import { expect } from 'bun:test';
import type { MessageRecord } from '../../simulator/index.ts';
import { type Accepted, FINAL, type Item } from '../support/api.ts';
import type { OperatorPatches } from '../support/operators-file.ts';
import { until } from '../support/poll.ts';
import type { Stack } from '../support/stack.ts';

/** With JSMS_FULL=1 the tests of this folder run at full size and print what they saw, which takes minutes. */
export const FULL = process.env.JSMS_FULL === '1';

/** MCI and MTN by SMPP, Rightel by HTTP, as in the repository's operator.json. */
export const three = (patches: OperatorPatches = {}): OperatorPatches => ({
  MCI: { connector: 'smpp', ...patches.MCI },
  MTN: { connector: 'smpp', ...patches.MTN },
  Rightel: { ...patches.Rightel },
});

const BATCH = 500;

export type Outgoing = { phone: string; text?: string; type?: 'express' | 'normal'; valid_for_s?: number };

/**
 * Accepts all of them in order, by batches; asks again with the same key where the gateway could not say, as a client would.
 * Throws when one is refused.
 */
export async function sendAll(stack: Stack, userId: string, messages: readonly Outgoing[]): Promise<Accepted[]> {
  const accepted: Accepted[] = [];
  for (let from = 0; from < messages.length; from += BATCH) {
    const batch = messages.slice(from, from + BATCH).map((message) => ({ text: 'hello', ...message }));
    const key = `${batch[0]?.phone}-${batch.length}`;
    const { results } = await until(
      'the batch is accepted',
      async () => {
        const { status, json, text } = await stack.tryBatch(userId, batch, key);
        if (status === 503) throw new Error(text);
        return { results: status === 202 ? json.results : [{ error: text }] };
      },
      { withinMs: 60_000, everyMs: 250 },
    );
    for (const result of results) {
      if (!('message_id' in result)) throw new Error(`refused: ${JSON.stringify(result)}`);
      accepted.push(result);
    }
  }
  return accepted;
}

/** Waits until so many messages of the account are final; answers how many have which status, none left out but zeros. */
export function ended(stack: Stack, userId: string, count: number, withinMs = 30_000): Promise<Record<string, number>> {
  return until(
    `${count} messages of ${userId} have ended`,
    async () => {
      const { counts } = await stack.report(userId, '?limit=1');
      const final = Object.entries(counts).reduce((sum, [status, n]) => sum + (FINAL.has(status) ? n : 0), 0);
      if (final < count) throw new Error(JSON.stringify(counts));
      return Object.fromEntries(Object.entries(counts).filter(([, n]) => n > 0));
    },
    { withinMs, everyMs: Math.max(100, count / 100) },
  );
}

/** All of an account's items, as the report lists them. */
export async function itemsOf(stack: Stack, userId: string): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | null = null;
  do {
    const page = await stack.report(userId, `?limit=500${cursor === null ? '' : `&cursor=${cursor}`}`);
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return items;
}

/** When each number's first message reached this operator, epoch milliseconds, by E.164. */
export function arrivals(stack: Stack, operator: string): Map<string, number> {
  return arrivalsAmong(stack, operator, 1_000_000);
}

function arrivalsAmong(stack: Stack, operator: string, newest: number): Map<string, number> {
  const records = stack.simulator.records(operator, { limit: newest });
  return new Map(records.map(({ to, first_at }) => [numberOf(to), Date.parse(first_at)]));
}

const WATCH_EVERY_MS = 100;
const WATCH_NEWEST = 3_000;

/**
 * Collects arrivals as they come, a few at a time: the operator runs in this process, and looking through all of its records would hold
 * it up.
 */
export function watchArrivals(stack: Stack, operator: string): { at: ReadonlyMap<string, number>; close(): void } {
  const at = new Map<string, number>();
  const look = (): void => {
    for (const [phone, ms] of arrivalsAmong(stack, operator, WATCH_NEWEST)) at.set(phone, ms);
  };
  const timer = setInterval(look, WATCH_EVERY_MS);
  return { at, close: () => clearInterval(timer) };
}

const numberOf = (to: string): string => `+${to.replace(/^\+/, '')}`;

/** No message reached a customer twice, at no operator. */
export function assertNothingDoubled(stack: Stack): void {
  const doubled = stack.simulator.names.map((name) => [name, stack.simulator.counters(name).doubled]);
  expect(doubled).toEqual(stack.simulator.names.map((name) => [name, 0]));
}

export const recordOf = (stack: Stack, operator: string, phone: string): MessageRecord | undefined =>
  stack.simulator.records(operator, { to: phone })[0];

export type OperatorState = {
  name: string;
  ready: boolean;
  breaker: 'closed' | 'open' | 'half_open';
  tps: number;
  rate: number;
  window: { size: number; inflight: number };
  binds: { role: string; state: string; inflight: number; reconnects: number; last_error: string | null }[];
  queued: Record<'express' | 'normal' | 'bulk', number>;
  claimed: number;
  outcomes: Record<string, number>;
};

/** An operator as the dispatcher shows it. */
export async function operatorState(stack: Stack, name: string): Promise<OperatorState> {
  const { json } = await stack.call<{ operators: OperatorState[] }>('dispatcher', 'GET', '/operators');
  const found = json.operators.find((operator) => operator.name === name);
  if (!found) throw new Error(`the dispatcher shows no ${name}`);
  return found;
}

export const breakerIs = (stack: Stack, name: string, state: OperatorState['breaker'], withinMs = 15_000) =>
  until(
    `the breaker of ${name} is ${state}`,
    async () => {
      const { breaker, ready } = await operatorState(stack, name);
      if (breaker !== state) throw new Error(`it is ${breaker}, ready ${ready}`);
      return true;
    },
    { withinMs, everyMs: 20 },
  );

/** Every bind of an operator stands. */
export const isBound = (stack: Stack, name: string) =>
  until(`${name} is bound`, async () => (await operatorState(stack, name)).ready, { everyMs: 20 });

/** The value below which such a part of the list lies. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN;
}

/** A figure that a run saw: printed only where somebody asked for the large run. */
export const figure = (what: string, value: unknown): void => {
  if (FULL) process.stdout.write(`    ${what}: ${JSON.stringify(value)}\n`);
};

/** Waits until the dispatcher has taken the operators file as it was just written. Asked right after the write. */
export async function reloaded(stack: Stack, event = 'file_reloaded'): Promise<void> {
  const seen = () => stack.logs('dispatcher').filter((line) => line.event === event).length;
  const before = seen();
  await until('the dispatcher has read the operators file', () => seen() > before, { everyMs: 20 });
}
