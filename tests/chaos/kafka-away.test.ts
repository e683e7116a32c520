/** The fear: Kafka is away, and what was accepted meanwhile is lost, doubled or refused. */
import { expect, test } from 'bun:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { arrivals } from '../operators/scene.ts';
import { e164, newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack({ ownKafka: true });
const MESSAGES = 60;
/** `CHAOS_KAFKA_AWAY_S=60` for the whole minute of the promise. */
const AWAY_S = Number(process.env.CHAOS_KAFKA_AWAY_S ?? 6);
const PER_S = 200;
const EXPRESS_EVERY = 4;
/** So many that none has a backlog for the lower lane. */
const ACCOUNTS = 64;
/** Nobody is overtaken in its lane by what was accepted so much later: a step of the relay, and claims on their way at once. */
const OVERTAKEN_MS = 2_000;

test('while Kafka is away messages are accepted; once it is back each is sent once, and top-ups are counted', async () => {
  const kafka = stack.servers.kafka as LocalServer;
  await stack.charge('away', 500_000);
  const first = await stack.send({ phone: newPhone('912'), user_id: 'away', text: 'before' });
  await stack.final(first.message_id);

  await kafka.kill();
  const startedAt = performance.now();
  const prefixes = ['912', '935', '920'];
  const answers = await Promise.all(
    Array.from({ length: MESSAGES }, (_, i) =>
      stack.trySend({ phone: newPhone(prefixes[i % 3] as string), user_id: 'away', text: `while away ${i}` }),
    ),
  );
  await stack.charge('away', 777);
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
  // Kafka is not on the way of an answer: nobody waited for its timeouts.
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  const received = () => stack.simulator.names.reduce((sum, name) => sum + stack.simulator.counters(name).received, 0);
  expect(received()).toBe(1);

  await kafka.restart();
  await until('all of it is sent', () => received() >= MESSAGES + 1, { withinMs: 60_000 });
  let spent = first.price;
  for (const { json } of answers) {
    expect(await stack.final(json.message_id, 60_000)).toMatchObject({ status: 'sent', attempts: 1, flags: [] });
    spent += json.price;
  }
  const audit = await assertSettled(stack, 'away', spent, 40_000);
  expect(audit.redis.topped_up).toBe(500_777);
  await assertDrained(stack);
  expect(received()).toBe(MESSAGES + 1);
  for (const name of stack.simulator.names) expect(stack.simulator.duplicates(name)).toEqual({});
});

test('past the bound of the outbox a send is refused before any hold, and taken again once Kafka has caught up', async () => {
  const kafka = stack.servers.kafka as LocalServer;
  await stack.restart('billing', { OUTBOX_MAX: '20' });
  await stack.charge('full', 500_000);
  await kafka.kill();
  let accepted = 0;
  const refused = await until(
    'the gateway refuses',
    async () => {
      const answer = await stack.trySend({ phone: newPhone('912'), user_id: 'full' });
      if (answer.status === 503) return answer;
      accepted += answer.status === 202 ? 1 : 0;
      return false;
    },
    { everyMs: 10 },
  );
  expect([refused.json.code, refused.headers.get('retry-after')]).toEqual(['unavailable', '1']);
  const held = (await stack.audit('full')).redis;
  expect(held.open_holds).toBe(accepted);

  await kafka.restart();
  const after = await until(
    'sends are taken again',
    async () => {
      const answer = await stack.trySend({ phone: newPhone('912'), user_id: 'full' });
      return answer.status === 202 && answer.json;
    },
    { withinMs: 60_000 },
  );
  await stack.final(after.message_id, 60_000);
  await assertSettled(stack, 'full', after.price * (accepted + 1), 40_000);
  await assertDrained(stack);
});

test(`Kafka away for ${AWAY_S} s under load: 202 up to the outbox's bound, then 503; afterwards each is sent once, express ahead, oldest first`, async () => {
  const kafka = stack.servers.kafka as LocalServer;
  const bound = Math.floor((AWAY_S * PER_S) / 2);
  await stack.restart('billing', { OUTBOX_MAX: String(bound) });
  const users = Array.from({ length: ACCOUNTS }, (_, i) => `queue-${i}`);
  for (const user of users) await stack.charge(user, 10_000_000);
  const alreadyThere = stack.simulator.counters('mci').received;

  await kafka.kill();
  const accepted = new Map<string, { at: number; express: boolean }>();
  const refusals: { status: number; code: string; retryAfter: string | null }[] = [];
  const sendOne = async (n: number): Promise<void> => {
    const phone = newPhone('912');
    const express = n % EXPRESS_EVERY === 0;
    const user_id = users[n % users.length] as string;
    const { status, json, headers } = await stack.trySend({ phone, user_id, type: express ? 'express' : 'normal' });
    if (status === 202) {
      accepted.set(e164(phone), { at: Number.parseInt(json.message_id.slice(0, 13).replace('-', ''), 16), express });
    } else refusals.push({ status, code: json.code, retryAfter: headers.get('retry-after') });
  };
  const began = performance.now();
  const sends: Promise<void>[] = [];
  for (let n = 0; performance.now() - began < AWAY_S * 1_000; n += 1) {
    sends.push(sendOne(n));
    await delay(Math.max(0, began + ((n + 1) * 1_000) / PER_S - performance.now()));
  }
  await Promise.all(sends);
  expect(accepted.size).toBeGreaterThanOrEqual(bound);
  // The bound is looked at now and then; once it is known nothing more comes in.
  await until('billing knows that the bound is passed', async () => {
    const { text } = await stack.call('billing', 'GET', '/metrics');
    return Number(/^jsms_billing_outbox_messages (\d+)$/m.exec(text)?.[1]) > bound;
  });
  const taken = accepted.size;
  for (let n = 0; n < 2 * EXPRESS_EVERY; n += 1) await sendOne(n);
  expect(accepted.size).toBe(taken);
  expect(refusals.length).toBeGreaterThan(0);
  for (const refusal of refusals) expect(refusal).toEqual({ status: 503, code: 'unavailable', retryAfter: '1' });

  await kafka.restart();
  const sentSince = () => stack.simulator.counters('mci').received - alreadyThere;
  await until('all of it is sent', () => sentSince() >= accepted.size, { withinMs: 90_000 });
  await assertDrained(stack, 60_000);
  expect(sentSince()).toBe(accepted.size);
  expect(stack.simulator.duplicates('mci')).toEqual({});

  const arrived = [...arrivals(stack, 'mci')]
    .map(([phone, arrivedAt]) => ({ ...accepted.get(phone), arrivedAt }))
    .filter((one): one is { at: number; express: boolean; arrivedAt: number } => one.at !== undefined)
    .sort((a, b) => a.arrivedAt - b.arrivedAt);
  expect(arrived.length).toBe(accepted.size);
  const middle = (express: boolean): number => {
    const times = arrived.filter((one) => one.express === express).map(({ arrivedAt }) => arrivedAt);
    return times[times.length >> 1] as number;
  };
  expect(middle(true)).toBeLessThanOrEqual(middle(false));
  let overtaken = 0;
  for (const express of [true, false]) {
    let latest = 0;
    for (const { at } of arrived.filter((one) => one.express === express)) {
      overtaken = Math.max(overtaken, latest - at);
      latest = Math.max(latest, at);
    }
  }
  console.log(`  ${accepted.size} accepted, ${refusals.length} refused; overtaken by at most ${overtaken} ms`);
  expect(overtaken).toBeLessThan(OVERTAKEN_MS);
}, 240_000);
