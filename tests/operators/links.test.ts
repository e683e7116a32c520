import { expect, test } from 'bun:test';
import type { OperatorSpec } from '../support/operators-file.ts';
import { e164, newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { startReplica } from '../support/replica.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';
import {
  assertNothingDoubled,
  ended,
  FULL,
  figure,
  isBound,
  itemsOf,
  type Outgoing,
  operatorState,
  recordOf,
  reloaded,
  sendAll,
  three,
} from './scene.ts';

const DROPS = FULL ? 50 : 8;
const EVERY = 60;
// Every operator here answers, and what these tests start beside it takes the machine away for a moment: late is not silent.
const PATIENT_MS = 10_000;
const stack = useStack({
  operators: three({
    MCI: { on_unknown: 'wait', unknown_wait_s: 1, smpp: { window: 16, response_timeout_ms: PATIENT_MS } },
    MTN: { on_unknown: 'resend', smpp: { window: 16, response_timeout_ms: PATIENT_MS } },
    Rightel: { http: { timeout_ms: PATIENT_MS } },
  }),
  // Less than waits in these tests: partitions pause and must go on.
  env: { QUEUE_MAX: '50' },
});

const numbers = (prefix: string, count: number): Outgoing[] =>
  Array.from({ length: count }, () => ({ phone: newPhone(prefix) }));
const priceOf = (accepted: readonly { price: number }[]): number => accepted.reduce((sum, { price }) => sum + price, 0);

for (const mode of ['before', 'after', 'cut'] as const) {
  const drops = Math.ceil(DROPS / 3);
  test(`a link dropped ${drops} times mid-window (${mode}): each message ends once, none reaches a customer twice, and what was not sent is refunded`, async () => {
    const userId = `drops-${mode}`;
    const count = (drops + 2) * EVERY;
    await stack.charge(userId, 100_000_000);
    await isBound(stack, 'MCI');
    stack.simulator.reset('mci');
    stack.simulator.dials('mci', { latency_ms: 5, drop_after_n: EVERY, drop_times: drops, drop_mode: mode });
    const price = (await sendAll(stack, userId, numbers('912', count)))[0]?.price as number;
    const counts = await ended(stack, userId, count, 60_000);
    const counters = stack.simulator.counters('mci');
    figure('ended', { ...counts, dropped: counters.dropped, accepted: counters.accepted, binds: counters.binds });
    expect(counters.dropped).toBe(drops);
    expect(counters.doubled).toBe(0);
    const items = await itemsOf(stack, userId);
    expect(items.map(({ message_id }) => message_id)).toHaveLength(new Set(items.map((one) => one.message_id)).size);
    for (const { phone, status, attempts, error, flags, posted } of items) {
      const record = recordOf(stack, 'mci', phone as string);
      expect(record?.received ?? 0).toBeLessThanOrEqual(1);
      if (status === 'sent')
        expect([record?.accepted, attempts, error, flags, posted]).toEqual([1, 1, null, [], price]);
      else expect([status, attempts, error, flags, posted]).toEqual(['failed', 1, 'no_answer', ['perhaps_sent'], 0]);
    }
    // A window is lost with its link, and no more: what is only claimed goes back.
    expect(counts.failed ?? 0).toBeLessThanOrEqual(drops * 16);
    await assertSettled(stack, userId, (counts.sent ?? 0) * price);
  });
}

test('where unknown ones are sent again each of them is sent in the end, and what came twice is flagged', async () => {
  const drops = Math.ceil(DROPS / 2);
  const count = (drops + 2) * EVERY;
  await stack.charge('resent', 100_000_000);
  await isBound(stack, 'MTN');
  stack.simulator.dials('mtn', { latency_ms: 5, drop_after_n: EVERY, drop_times: drops, drop_mode: 'after' });
  const accepted = await sendAll(stack, 'resent', numbers('935', count));
  expect(await ended(stack, 'resent', count, 60_000)).toEqual({ sent: count });
  const items = await itemsOf(stack, 'resent');
  const flagged = new Set(items.filter(({ flags }) => flags.includes('perhaps_double')).map(({ phone }) => phone));
  const doubled = Object.keys(stack.simulator.duplicates('mtn')).map((name) => `+${name.split('\n')[0]}`);
  figure('resent', { flagged: flagged.size, doubled: doubled.length });
  expect(doubled.filter((phone) => !flagged.has(phone))).toEqual([]);
  expect(flagged.size).toBeLessThanOrEqual(drops * 16);
  await assertSettled(stack, 'resent', priceOf(accepted));
  stack.simulator.reset('mtn');
});

/** Sends small batches to all three operators until told to stop; answers what was accepted. */
function keepSending(userId: string, prefixes: readonly string[]) {
  let going = true;
  const accepted: { message_id: string; phone: string; price: number }[] = [];
  const refused: string[] = [];
  const run = (async () => {
    while (going) {
      const batch = prefixes.flatMap((prefix) => numbers(prefix, 5)).map((one) => ({ text: 'hello', ...one }));
      const { results } = await stack.sendBatch(userId, batch);
      for (const [i, result] of results.entries()) {
        const { phone } = batch[i] as Outgoing;
        if ('message_id' in result) accepted.push({ ...result, phone });
        else refused.push(result.error.code);
      }
    }
  })();
  return {
    accepted,
    refused,
    stop: async () => {
      going = false;
      await run;
    },
  };
}
const moreThan = (list: readonly unknown[], more: number) => {
  const from = list.length;
  return until('more was accepted', () => list.length >= from + more, { everyMs: 5 });
};

test('operator.json changes under load: a window, an operator taken out and put back, a new one, bad files; nothing is lost or doubled', async () => {
  await stack.charge('reload', 1_000_000_000);
  for (const name of ['mci', 'mtn', 'rightel']) stack.simulator.reset(name);
  for (const name of ['mci', 'mtn', 'rightel']) stack.simulator.dials(name, { latency_ms: 5 });
  const load = keepSending('reload', ['912', '935', '920', '941']);
  const good = stack.operators;
  const mci = good.operators.MCI as OperatorSpec;
  const rightel = good.operators.Rightel as OperatorSpec;
  const { Rightel: _, ...without } = good.operators;
  const refusals = () => stack.logs('dispatcher').filter(({ event }) => event === 'file_refused').length;
  await moreThan(load.accepted, 100);

  stack.writeOperators({
    ...good,
    operators: { ...good.operators, MCI: { ...mci, smpp: { ...mci.smpp, window: 4 } } },
  });
  await reloaded(stack);
  await moreThan(load.accepted, 100);

  stack.writeOperators({ ...good, operators: without });
  await reloaded(stack);
  await moreThan(load.accepted, 100);

  for (const bad of ['{', { operators: {} }, { ...good, operators: { ...good.operators, MCI: { ...mci, tps: -1 } } }]) {
    const before = refusals();
    stack.writeOperators(bad);
    await until('a bad file is refused', () => refusals() > before, { everyMs: 20 });
  }
  // A file that reads well and cannot be carried out: the authority's certificate is not there.
  const unreadable = { ...mci.smpp, tls: { ca_file: '/nowhere/ca.pem' } };
  const refused = reloaded(stack, 'operators_refused');
  stack.writeOperators({ ...good, operators: { ...good.operators, MCI: { ...mci, smpp: unreadable } } });
  await refused;
  await moreThan(load.accepted, 50);

  const aria = { ...rightel, prefixes: ['941'] };
  stack.writeOperators({ ...good, operators: { ...good.operators, Aria: aria } });
  await reloaded(stack);
  await until('the new one is sent to', () => load.accepted.some(({ phone }) => phone.startsWith('0941')));
  await moreThan(load.accepted, 200);
  await load.stop();

  const { accepted } = load;
  figure('reload', { accepted: accepted.length, refused: load.refused.length });
  expect(new Set(load.refused)).toEqual(new Set(['no_route']));
  expect(await ended(stack, 'reload', accepted.length, 60_000)).toEqual({ sent: accepted.length });
  assertNothingDoubled(stack);
  for (const { phone } of accepted) {
    const at = phone.startsWith('0912') ? 'mci' : phone.startsWith('0935') ? 'mtn' : 'rightel';
    expect([e164(phone), recordOf(stack, at, phone)?.accepted]).toEqual([e164(phone), 1]);
  }
  await assertSettled(stack, 'reload', priceOf(accepted));
});

test('an operator that is replaced while its full queue has paused its partitions: all of its messages go to the new one', async () => {
  await stack.charge('replaced', 100_000_000);
  stack.simulator.reset('rightel');
  // 80 a second, so that most of them still wait when it is replaced.
  stack.simulator.dials('rightel', { latency_ms: 400 });
  const good = stack.operators;
  const { Rightel: old, Aria: _, ...others } = good.operators;
  stack.writeOperators({ ...good, operators: { ...others, Rightel: old as OperatorSpec } });
  await reloaded(stack);
  const accepted = await sendAll(stack, 'replaced', numbers('920', 600));
  await until('its queue is full', async () => (await operatorState(stack, 'Rightel')).queued.normal >= 50);
  const { http, ...rest } = old as OperatorSpec;
  const url = `${stack.simulator.httpUrl}/mtn`;
  stack.writeOperators({ ...good, operators: { ...others, Aria: { ...rest, http: { ...http, url } } } });
  expect(await ended(stack, 'replaced', 600)).toEqual({ sent: 600 });
  const carried = new Set((await itemsOf(stack, 'replaced')).map(({ operator }) => operator));
  expect(carried).toEqual(new Set(['Rightel', 'Aria']));
  assertNothingDoubled(stack);
  await assertSettled(stack, 'replaced', priceOf(accepted));
  stack.writeOperators({ ...good, operators: { ...others, Rightel: old as OperatorSpec } });
  await reloaded(stack);
});

test('dispatchers that join and leave under load lose nothing and double nothing', async () => {
  await stack.charge('crowd', 1_000_000_000);
  for (const name of ['mci', 'mtn', 'rightel']) stack.simulator.reset(name);
  await isBound(stack, 'MCI');
  const load = keepSending('crowd', ['912', '935', '920']);
  await moreThan(load.accepted, 100);
  for (let round = 0; round < (FULL ? 4 : 1); round += 1) {
    const second = await startReplica(stack);
    await moreThan(load.accepted, 300);
    const third = await startReplica(stack);
    await moreThan(load.accepted, 300);
    await second.stop();
    await moreThan(load.accepted, 300);
    await third.stop();
    await moreThan(load.accepted, 100);
  }
  await load.stop();
  const { accepted } = load;
  figure('joining and leaving', { accepted: accepted.length });
  expect(load.refused).toEqual([]);
  expect(await ended(stack, 'crowd', accepted.length, 60_000)).toEqual({ sent: accepted.length });
  assertNothingDoubled(stack);
  const items = await itemsOf(stack, 'crowd');
  expect(items.filter(({ attempts, flags }) => attempts !== 1 || flags.length > 0)).toEqual([]);
  await assertSettled(stack, 'crowd', priceOf(accepted));
  await assertDrained(stack);
});
