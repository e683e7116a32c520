import { expect, test } from 'bun:test';
import { Redis } from 'ioredis';
import { freePort } from '../../local/ports.ts';
import { importPorted } from '../../shared/ported.ts';
import type { OperatorSpec } from '../support/operators-file.ts';
import { e164, newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';
import {
  arrivals,
  assertNothingDoubled,
  breakerIs,
  ended,
  isBound,
  itemsOf,
  operatorState,
  percentile,
  recordOf,
  reloaded,
  sendAll,
  three,
} from './scene.ts';

const BREAKER = { failures: 3, open_s: 1, half_open_probes: 2 };
const stack = useStack({
  operators: three({
    MCI: { breaker: BREAKER, unknown_wait_s: 2 },
    MTN: { breaker: BREAKER, fallback: ['Rightel'], on_unknown: 'resend' },
    Rightel: { breaker: BREAKER, http: { timeout_ms: 1_000 } },
  }),
  // Less than waits in these tests: partitions pause and must go on.
  env: { QUEUE_MAX: '50' },
});

const phones = (prefix: string, count: number) => Array.from({ length: count }, () => ({ phone: newPhone(prefix) }));
const priceOf = (accepted: readonly { price: number }[]): number => accepted.reduce((sum, { price }) => sum + price, 0);

test('an SMPP operator that refuses connections opens its breaker; without a fallback its messages wait and burn nothing, the others flow', async () => {
  await stack.charge('waits', 10_000_000);
  await stack.charge('flows', 10_000_000);
  await isBound(stack, 'MCI');
  const before = stack.logs('dispatcher').length;
  stack.simulator.dials('mci', { accept_connections: false });
  const waiting = await sendAll(stack, 'waits', phones('912', 300));
  await breakerIs(stack, 'MCI', 'open');
  const flowing = await sendAll(stack, 'flows', [...phones('935', 100), ...phones('920', 100)]);
  expect(await ended(stack, 'flows', 200)).toEqual({ sent: 200 });
  await assertSettled(stack, 'flows', priceOf(flowing));
  const meanwhile = await itemsOf(stack, 'waits');
  expect(new Set(meanwhile.map(({ status, attempts }) => `${status} ${attempts}`))).toEqual(new Set(['queued 0']));

  stack.simulator.dials('mci', { accept_connections: true });
  expect(await ended(stack, 'waits', 300)).toEqual({ sent: 300 });
  await breakerIs(stack, 'MCI', 'closed');
  const lines = () => stack.logs('dispatcher').slice(before);
  const told = () => lines().filter(({ event, operator }) => operator === 'MCI' && /^(link|breaker)_/.test(event));
  // The last state is told within half a minute, however often it changed before.
  await until('the log has said all of it', () => told().at(-1)?.event === 'breaker_closed', { withinMs: 40_000 });
  expect(new Set(told().map(({ event }) => event))).toEqual(
    new Set(['link_made', 'link_lost', 'link_refused', 'breaker_open', 'breaker_half_open', 'breaker_closed']),
  );
  expect(told().find(({ event }) => event === 'link_refused')).toMatchObject({
    bind: 0,
    role: 'transceiver',
    reason: expect.any(String),
  });
  const items = await itemsOf(stack, 'waits');
  expect(items.filter(({ attempts, flags }) => attempts !== 1 || flags.length > 0)).toEqual([]);
  await assertSettled(stack, 'waits', priceOf(waiting));
  assertNothingDoubled(stack);
});

test('an operator with a fallback hands its messages over while its breaker is open, flagged, and takes them again when it is back', async () => {
  await stack.charge('moves', 10_000_000);
  await isBound(stack, 'MTN');
  stack.simulator.dials('mtn', { accept_connections: false });
  const first = await sendAll(stack, 'moves', phones('935', 200));
  expect(await ended(stack, 'moves', 200)).toEqual({ sent: 200 });
  const moved = await itemsOf(stack, 'moves');
  expect(new Set(moved.map(({ operator, flags }) => `${operator} ${flags}`))).toEqual(new Set(['Rightel fallback']));
  for (const { phone } of moved.slice(0, 20)) expect(recordOf(stack, 'mtn', phone as string)).toBeUndefined();

  stack.simulator.dials('mtn', { accept_connections: true });
  await isBound(stack, 'MTN');
  await until('a message goes to MTN again', async () => {
    const [one] = await sendAll(stack, 'moves', phones('935', 1));
    return (await stack.final(one?.message_id as string)).operator === 'MTN';
  });
  await breakerIs(stack, 'MTN', 'closed');
  const count = (await itemsOf(stack, 'moves')).length;
  expect(await ended(stack, 'moves', count)).toEqual({ sent: count });
  await assertSettled(stack, 'moves', (first[0]?.price ?? 0) * count);
  assertNothingDoubled(stack);
});

test('after an unknown outcome a message goes to no other operator: it waits for its own one', async () => {
  await stack.charge('pinned', 10_000_000);
  await isBound(stack, 'MTN');
  const phone = newPhone('935');
  stack.simulator.dials('mtn', { rules: [{ match: phone.slice(1), outcome: 'disconnect_before', times: 1 }] });
  const sent = await stack.send({ phone, user_id: 'pinned', type: 'express' });
  await until('its outcome is unknown', () => stack.simulator.counters('mtn').dropped > 0, { everyMs: 5 });
  stack.simulator.dials('mtn', { accept_connections: false });
  await breakerIs(stack, 'MTN', 'open');
  // What is not pinned goes elsewhere, so the operator is away for as long as this one waits.
  const others = await sendAll(stack, 'pinned', phones('935', 20));
  for (const { message_id } of others) expect((await stack.final(message_id)).operator).toBe('Rightel');
  expect(recordOf(stack, 'rightel', phone)).toBeUndefined();
  stack.simulator.dials('mtn', { accept_connections: true });
  const message = await stack.final(sent.message_id);
  expect(message).toMatchObject({ status: 'sent', operator: 'MTN', attempts: 2, flags: ['perhaps_double'] });
  expect(recordOf(stack, 'rightel', phone)).toBeUndefined();
  await assertSettled(stack, 'pinned', sent.price + priceOf(others));
});

test('an HTTP operator that refuses burns a try of one window and of a few messages, not of one window a fault', async () => {
  await stack.charge('burns', 10_000_000);
  const good = stack.operators;
  const rightel = good.operators.Rightel as OperatorSpec;
  const nobody = { ...rightel.http, url: `http://127.0.0.1:${await freePort()}/rightel` };
  stack.writeOperators({ ...good, operators: { ...good.operators, Rightel: { ...rightel, http: nobody } } });
  await reloaded(stack);
  const accepted = await sendAll(stack, 'burns', phones('920', 400));
  await breakerIs(stack, 'Rightel', 'open');
  stack.writeOperators(good);
  expect(await ended(stack, 'burns', 400)).toEqual({ sent: 400 });
  const burned = (await itemsOf(stack, 'burns')).filter(({ attempts }) => attempts > 1).length;
  const { window } = await operatorState(stack, 'Rightel');
  expect(burned).toBeGreaterThanOrEqual(BREAKER.failures);
  expect(burned).toBeLessThanOrEqual(window.size + 4 * BREAKER.half_open_probes);
  await assertSettled(stack, 'burns', priceOf(accepted));
  assertNothingDoubled(stack);
});

test('one operator silent: the others lose nothing and its own unknown ones are as many as were in flight', async () => {
  await stack.charge('silent', 10_000_000);
  await stack.charge('loud', 10_000_000);
  await isBound(stack, 'MCI');
  const timed = async (): Promise<number[]> => {
    const from = Date.now();
    const numbers = [...phones('935', 150), ...phones('920', 150)];
    await sendAll(stack, 'loud', numbers);
    const reached = () => new Map([...arrivals(stack, 'mtn'), ...arrivals(stack, 'rightel')]);
    await until('all have reached their operator', () => {
      const now = reached();
      return numbers.every(({ phone }) => now.has(`+98${phone.slice(1)}`));
    });
    const at = reached();
    return numbers.map(({ phone }) => (at.get(`+98${phone.slice(1)}`) as number) - from);
  };
  const healthy = await timed();
  stack.simulator.dials('mci', { freeze: true });
  const frozen = await sendAll(stack, 'silent', phones('912', 400));
  const sick = await timed();
  // The benchmark has exact figures; this one finds an operator that waits for another.
  expect(percentile(sick, 0.99)).toBeLessThan(percentile(healthy, 0.99) * 3 + 1_000);
  await breakerIs(stack, 'MCI', 'open');
  stack.simulator.dials('mci', { freeze: false });
  const counts = await ended(stack, 'silent', 400);
  const lost = counts.failed ?? 0;
  const { window } = await operatorState(stack, 'MCI');
  expect(lost).toBeLessThanOrEqual(window.size + 4 * BREAKER.half_open_probes);
  const failed = (await itemsOf(stack, 'silent')).filter(({ status }) => status === 'failed');
  expect(new Set(failed.map(({ error, flags }) => `${error} ${flags}`))).toEqual(
    new Set(lost > 0 ? ['no_answer perhaps_sent'] : []),
  );
  await assertSettled(stack, 'silent', (frozen[0]?.price ?? 0) * (400 - lost));
  expect(await ended(stack, 'loud', 600)).toEqual({ sent: 600 });
  assertNothingDoubled(stack);
});

test('what outlives its validity while its operator is away ends expired, refunded, and is not sent when it comes back', async () => {
  await stack.charge('expires', 10_000_000);
  await isBound(stack, 'MCI');
  stack.simulator.dials('mci', { accept_connections: false });
  await breakerIs(stack, 'MCI', 'open');
  const short = await sendAll(
    stack,
    'expires',
    phones('912', 20).map((one, i) => ({ ...one, valid_for_s: 2, type: i % 2 === 0 ? 'express' : 'normal' })),
  );
  const long = await sendAll(stack, 'expires', phones('912', 20));
  expect(await ended(stack, 'expires', 20)).toMatchObject({ failed: 20 });
  const failed = (await itemsOf(stack, 'expires')).filter(({ status }) => status === 'failed');
  expect(new Set(failed.map(({ error, posted, flags }) => `${error} ${posted} ${flags}`))).toEqual(
    new Set(['expired 0 ']),
  );
  expect(new Set(failed.map(({ message_id }) => message_id))).toEqual(new Set(short.map((one) => one.message_id)));
  stack.simulator.dials('mci', { accept_connections: true });
  expect(await ended(stack, 'expires', 40)).toEqual({ failed: 20, sent: 20 });
  for (const { phone } of failed) expect(recordOf(stack, 'mci', phone as string)).toBeUndefined();
  await assertSettled(stack, 'expires', priceOf(long));
  await assertDrained(stack);
});

test("a message that strayed to an operator that stands still does not hold up its own operator's others", async () => {
  await stack.charge('strays', 10_000_000);
  await stack.charge('near', 10_000_000);
  await isBound(stack, 'MCI');
  stack.simulator.dials('mci', { accept_connections: false });
  await until('MCI is away', async () => !(await operatorState(stack, 'MCI')).ready);
  await sendAll(stack, 'strays', phones('912', 100));
  await until("MCI's queue is full", async () => (await operatorState(stack, 'MCI')).queued.normal >= 50);
  // Accepted for Rightel, and MCI's by the time that the dispatcher reads it.
  await stack.stop('dispatcher');
  const stray = newPhone('920');
  await sendAll(stack, 'strays', [{ phone: stray }]);
  const redis = new Redis(stack.settings.REDIS_URL as string);
  const entry = { operator: 'MCI', until: null, source: 'entered', at: Date.now() } as const;
  await importPorted(redis, [[e164(stray), entry]]).finally(() => redis.disconnect());
  await stack.restart('dispatcher');
  await until('all wait at MCI', async () => (await operatorState(stack, 'MCI')).queued.normal >= 101);
  const sent = await sendAll(stack, 'near', phones('920', 30));
  expect(await ended(stack, 'near', 30)).toEqual({ sent: 30 });
  await assertSettled(stack, 'near', priceOf(sent));
  stack.simulator.dials('mci', { accept_connections: true });
  expect(await ended(stack, 'strays', 101)).toEqual({ sent: 101 });
  expect(recordOf(stack, 'mci', stray)).toMatchObject({ accepted: 1 });
  await assertDrained(stack);
});
