import { afterEach, expect, test } from 'bun:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { e164, newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { startReplica } from '../support/replica.ts';
import { assertDrained } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';
import {
  arrivals,
  assertNothingDoubled,
  ended,
  FULL,
  figure,
  isBound,
  itemsOf,
  type OperatorState,
  operatorState,
  percentile,
  recordOf,
  sendAll,
  three,
} from './scene.ts';

const TPS = 50;
const SECONDS = FULL ? 30 : 8;
const stack = useStack({
  operators: three({ MCI: { tps: TPS }, MTN: { smpp: { window: 16 } } }),
  // All of a campaign in the lane it was sent for.
  env: { OVERFLOW_AFTER: '1000000' },
});

let second: LocalServer | null = null;
afterEach(async () => {
  await second?.stop();
  second = null;
});

const phones = (prefix: string, count: number) => Array.from({ length: count }, () => ({ phone: newPhone(prefix) }));

/** Submits by whole second of the clock after this instant; the last one left out, which is no whole one. */
function wholeSeconds(operator: string, fromMs: number): number[] {
  const bySecond = stack.simulator.counters(operator).per_second;
  const last = Math.max(...Object.keys(bySecond).map(Number));
  const counts: number[] = [];
  for (let at = Math.ceil(fromMs / 1_000); at < last; at += 1) counts.push(bySecond[String(at)] ?? 0);
  return counts;
}

test(`tps ${TPS} with two dispatchers: kept on average, never passed by more than a tenth, and express goes before normal`, async () => {
  await stack.charge('campaign', 100_000_000);
  await stack.charge('otp', 10_000_000);
  await isBound(stack, 'MCI');
  second = await startReplica(stack);
  const replicaUrl = second.address;
  const acceptedBy = async (url: string): Promise<number> => {
    const { operators } = (await (await fetch(`${url}/operators`)).json()) as { operators: OperatorState[] };
    return operators.find(({ name }) => name === 'MCI')?.outcomes.accepted ?? 0;
  };
  const count = TPS * (SECONDS + 6);
  await sendAll(stack, 'campaign', phones('912', count));
  const both = [stack.urls.dispatcher, replicaUrl];
  await until('both submit', async () => (await Promise.all(both.map(acceptedBy))).every((n) => n > 0), {
    everyMs: 20,
  });
  const from = Date.now();

  // Each with a companion to an operator without a rate: what both wait for is the way there, the rest is the queue.
  const asked: { phone: string; companion: string; at: number }[] = [];
  for (const end = from + (SECONDS - 1) * 1_000; Date.now() < end; ) {
    const [phone, companion] = [newPhone('912'), newPhone('935')];
    const send = (to: string) => stack.send({ phone: to, user_id: 'otp', type: 'express' });
    await Promise.all([send(phone), send(companion)]);
    asked.push({ phone, companion, at: Date.now() });
    await delay(180);
  }
  await ended(stack, 'campaign', count, (SECONDS + 20) * 1_000);
  await ended(stack, 'otp', asked.length * 2);

  const seconds = wholeSeconds('mci', from).slice(0, SECONDS);
  const mean = seconds.reduce((sum, n) => sum + n, 0) / seconds.length;
  const [at, companions] = [arrivals(stack, 'mci'), arrivals(stack, 'mtn')];
  const latencies = asked.map(({ phone, at: accepted }) => (at.get(e164(phone)) as number) - accepted);
  const queued = asked.map(
    ({ phone, companion }) => (at.get(e164(phone)) as number) - (companions.get(e164(companion)) as number),
  );
  figure('a second on average', mean.toFixed(2));
  figure('seconds', seconds);
  figure('express ms', { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) });
  figure('of it behind others ms', {
    p50: percentile(queued, 0.5),
    p90: percentile(queued, 0.9),
    max: Math.max(...queued),
  });
  figure('by the second dispatcher', await acceptedBy(replicaUrl));
  expect(seconds.length).toBeGreaterThanOrEqual(SECONDS - 1);
  expect(mean).toBeGreaterThanOrEqual(TPS * 0.95);
  // What the bucket saved weighs more in a few seconds than in thirty.
  expect(mean).toBeLessThanOrEqual(FULL ? TPS : TPS * 1.02);
  expect(Math.max(...seconds)).toBeLessThanOrEqual(TPS * 1.1);
  // A submit's turn at this rate comes every 20 ms, and the backlog is seconds long.
  expect(percentile(queued, 0.5)).toBeLessThan(100);
  expect(percentile(queued, 0.9)).toBeLessThan(400);
  assertNothingDoubled(stack);
  await assertDrained(stack);
});

test.each([1, 3])(
  'express has a part of the window for itself: it waits behind no slow answers of normal messages of %i pages',
  async (pages) => {
    const user = `slow-${pages}`;
    await stack.charge(user, 10_000_000);
    await isBound(stack, 'MTN');
    stack.simulator.dials('mtn', { latency_ms: 900 });
    const text = 'س'.repeat(pages === 1 ? 70 : 67 * pages);
    await sendAll(
      stack,
      user,
      phones('935', 60).map((message) => ({ ...message, text })),
    );
    const { window } = await operatorState(stack, 'MTN');
    const othersMost = Math.floor((window.size * 0.8) / pages) * pages;
    await until(
      "the others' part of the window is full",
      async () => (await operatorState(stack, 'MTN')).window.inflight === othersMost,
      { everyMs: 5 },
    );
    const phone = newPhone('935');
    await stack.send({ phone, user_id: user, type: 'express' });
    await until(
      'it is in flight beside all of them',
      async () => recordOf(stack, 'mtn', phone) && (await operatorState(stack, 'MTN')).window.inflight > othersMost,
      { everyMs: 5 },
    );
    stack.simulator.dials('mtn', { latency_ms: 0 });
    expect(await ended(stack, user, 61)).toEqual({ sent: 61 });
    await assertDrained(stack);
  },
);

test('an operator that throttles is sent to at half the rate, then faster again; nobody loses a try', async () => {
  await stack.charge('throttled', 100_000_000);
  await isBound(stack, 'MTN');
  stack.simulator.dials('mtn', { throttle_tps: 100 });
  const count = 700;
  await sendAll(stack, 'throttled', phones('935', count));
  const rateAfter = await until('its rate is held back', async () => (await operatorState(stack, 'MTN')).rate);
  const rateLater = await until('its rate climbs', async () => {
    const { rate } = await operatorState(stack, 'MTN');
    return rate > rateAfter && rate;
  });
  expect(await ended(stack, 'throttled', count, 40_000)).toEqual({ sent: count });
  const { accepted, throttled } = stack.simulator.counters('mtn');
  figure('throttled', { accepted, throttled, rateAfter, rateLater });
  const items = await itemsOf(stack, 'throttled');
  expect(items.filter(({ attempts, flags }) => attempts !== 1 || flags.length > 0)).toEqual([]);
  // Most of what is refused is refused before the first halving: a window, and what a second's climb finds out.
  expect(throttled).toBeLessThan(accepted);
  stack.simulator.dials('mtn', { throttle_tps: 0 });
  await until('nothing holds it back any more', async () => (await operatorState(stack, 'MTN')).rate === 0, {
    withinMs: 40_000,
  });
  assertNothingDoubled(stack);
  await assertDrained(stack);
});
