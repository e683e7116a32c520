/** The fear: somebody is believed dead, wakes up, and goes on as if no time had passed. */
import { afterAll, expect, test } from 'bun:test';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { startReplica } from '../support/replica.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack({
  ownKafka: true,
  operators: { '*': { on_unknown: 'resend', http: { window: 16, timeout_ms: 1_000 } } },
});

const frozen = new Set<number>();
const freeze = (pid: number): void => {
  frozen.add(pid);
  process.kill(pid, 'SIGSTOP');
};
const thaw = (pid: number): void => {
  if (frozen.delete(pid)) process.kill(pid, 'SIGCONT');
};
afterAll(() => {
  for (const pid of frozen) thaw(pid);
});

const accepted = (name: string): number => stack.simulator.counters(name).accepted;

test('a dispatcher that was frozen past its claims submits nothing that another has taken meanwhile', async () => {
  // Without the removal of duplicates a second submit would be a second acceptance.
  stack.simulator.dials('mtn', { dedupe: false, latency_ms: 200 });
  await stack.charge('thaw', 10_000_000);
  const messages = Array.from({ length: 200 }, () => ({ phone: newPhone('935'), text: 'hello' }));
  const { results } = await stack.sendBatch('thaw', messages);
  await until('some are through, and some are claimed', () => accepted('mtn') >= 20, { everyMs: 5 });
  const pid = stack.pidOf('dispatcher');
  freeze(pid);
  const other = await startReplica(stack);
  try {
    // What was in its window may have been accepted before the freeze and is asked for again by the other: that is what
    // `resend` says. Everything else must be accepted once, though the first one wakes up with claims in its hands.
    await until('the other has done the rest', () => accepted('mtn') >= 200, { withinMs: 60_000 });
    thaw(pid);
    let spent = 0;
    let perhapsDouble = 0;
    for (const result of results) {
      const message = await stack.final('message_id' in result ? result.message_id : '', 60_000);
      expect(message.status).toBe('sent');
      spent += message.posted;
      perhapsDouble += message.flags.includes('perhaps_double') ? 1 : 0;
      const [record] = stack.simulator.records('mtn', { messageId: message.message_id });
      if (!message.flags.includes('perhaps_double')) expect(record?.accepted).toBe(1);
    }
    // A window and what covers one claim's round trip, and no more.
    expect(perhapsDouble).toBeLessThanOrEqual(2 * 16);
    await assertSettled(stack, 'thaw', spent);
    await assertDrained(stack);
  } finally {
    await other.stop();
    stack.simulator.dials('mtn', { dedupe: true, latency_ms: 0 });
  }
});

test('while Redis is frozen nobody is told a wrong 202; what nobody knew is whole when it thaws', async () => {
  await stack.charge('ice', 1_000_000);
  freeze(stack.servers.redis.pid);
  const bodies = Array.from({ length: 20 }, (_, i) => ({
    phone: newPhone('935'),
    user_id: 'ice',
    text: `frozen ${i}`,
  }));
  const answers = await Promise.all(bodies.map((body, i) => stack.trySend(body, `ice-${i}`)));
  thaw(stack.servers.redis.pid);
  for (const { status, json } of answers) {
    expect(status).toBe(503);
    expect(['unavailable', 'outcome_unknown']).toContain(json.code);
    if (json.code === 'outcome_unknown') expect(json.message_id).toBeString();
  }
  // Asked again with its key each is one message, whether its first hold stood or not.
  const ids = new Set<string>();
  let spent = 0;
  for (const [i, body] of bodies.entries()) {
    const { message_id, price } = await until('the message is accepted', async () => {
      const answer = await stack.trySend(body, `ice-${i}`);
      return answer.status === 202 && answer.json;
    });
    ids.add(message_id);
    spent += price;
    expect((await stack.final(message_id, 40_000)).status).toBe('sent');
  }
  expect(ids.size).toBe(bodies.length);
  await assertSettled(stack, 'ice', spent);
  await assertDrained(stack);
  for (const { phone } of bodies) expect(stack.simulator.records('mtn', { to: phone })).toHaveLength(1);
});

test('while Kafka is frozen messages are accepted, and each is sent once when it thaws', async () => {
  const kafka = stack.servers.kafka as LocalServer;
  await stack.charge('frost', 1_000_000);
  freeze(kafka.pid);
  const answers = await Promise.all(
    Array.from({ length: 30 }, () => stack.trySend({ phone: newPhone('935'), user_id: 'frost' })),
  );
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
  // Long enough that the produce is given up and left to the relay.
  await until(
    'the gateway has given a produce up',
    () => stack.logs('gateway').some(({ event }) => event === 'produce_failed'),
    {
      withinMs: 60_000,
    },
  );
  thaw(kafka.pid);
  let spent = 0;
  for (const { json } of answers) {
    expect((await stack.final(json.message_id, 60_000)).status).toBe('sent');
    spent += json.price;
    expect(stack.simulator.records('mtn', { messageId: json.message_id })[0]?.accepted).toBe(1);
  }
  await assertSettled(stack, 'frost', spent, 60_000);
  await assertDrained(stack, 60_000);
});
