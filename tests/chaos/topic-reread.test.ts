/** The fear: a consumer group begins again at the start of its topics, and everything is sent and counted again. */
import { expect, test } from 'bun:test';
import { Redis } from 'ioredis';
import postgres from 'postgres';
import { LANES, TOPICS } from '../../shared/topics.ts';
import { assertLeaving } from '../support/coherence.ts';
import { newPhone, only } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { connectTestKafka } from '../support/stack-servers.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack({
  operators: { MCI: { on_unknown: 'wait', unknown_wait_s: 1 }, MTN: { on_unknown: 'resend' } },
});

const GROUPS = [
  ...LANES.map((lane) => ({ groupId: `jsms-dispatcher-${lane}`, topic: `sms-${lane}` })),
  { groupId: 'jsms-dispatcher-dlq', topic: TOPICS.dlq },
];

/** Messages with every outcome there is. Answers their ids and what they cost. */
async function sendAllKinds(userId: string): Promise<{ ids: string[]; spent: number }> {
  const [silent, rejected, transient, hopeless] = Array.from({ length: 4 }, () => newPhone('912')) as [
    string,
    string,
    string,
    string,
  ];
  const resent = newPhone('935');
  stack.simulator.dials('mci', {
    rules: [
      { match: only(silent), outcome: 'silent' },
      { match: only(rejected), outcome: 'reject' },
      { match: only(transient), outcome: 'transient', times: 2 },
      { match: only(hopeless), outcome: 'transient' },
    ],
  });
  stack.simulator.dials('mtn', { rules: [{ match: only(resent), outcome: 'silent', times: 1 }] });
  await stack.charge(userId, 1_000_000);
  const plain = Array.from({ length: 20 }, (_, i) => newPhone(['912', '935', '920'][i % 3] as string));
  const phones = [silent, rejected, transient, hopeless, resent, ...plain];
  const { results } = await stack.sendBatch(
    userId,
    phones.map((phone, i) => ({ phone, text: 'hello', type: i % 2 === 0 ? 'express' : 'normal' })),
  );
  const ids = results.map((result) => ('message_id' in result ? result.message_id : ''));
  let spent = 0;
  for (const id of ids) spent += (await stack.final(id)).posted;
  return { ids, spent };
}

async function rewindDispatcher(): Promise<void> {
  const admin = connectTestKafka(stack.servers.kafkaBrokers).admin();
  await admin.connect();
  for (const { groupId, topic } of GROUPS) await admin.resetOffsets({ groupId, topic, earliest: true });
  await admin.disconnect();
}

/** Whether the dispatcher's groups have committed to the end of their topics. */
async function isReadAgain(): Promise<boolean> {
  const admin = connectTestKafka(stack.servers.kafkaBrokers).admin();
  await admin.connect();
  try {
    for (const { groupId, topic } of GROUPS) {
      const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] });
      const ends = new Map(
        (await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)]),
      );
      for (const { partition, offset } of committed?.partitions ?? []) {
        if (Math.max(0, Number(offset)) < (ends.get(partition) ?? 0)) return false;
      }
    }
    return true;
  } finally {
    await admin.disconnect();
  }
}

/** As two minutes do: only what is being forgotten already. */
async function forgetRecords(): Promise<void> {
  const redis = new Redis(stack.servers.redis.address);
  for (const key of await assertLeaving(redis)) await redis.del(key);
  redis.disconnect();
}

const everything = async (ids: string[]) => ({
  counters: stack.simulator.names.map((name) => {
    const { received, accepted, doubled } = stack.simulator.counters(name);
    return { name, received, accepted, doubled };
  }),
  messages: await Promise.all(
    ids.map(async (id) => {
      const { status, attempts, posted, flags, error, timeline } = await stack.message(id);
      return { id, status, attempts, posted, flags, error, events: timeline.map(({ event }) => event) };
    }),
  ),
});

for (const [when, forgotten] of [
  ['while their records are remembered', false],
  ['after their records were forgotten', true],
] as const) {
  test(`the dispatcher reads all topics again ${when}: nothing is submitted, nothing changes`, async () => {
    const userId = `again-${forgotten}`;
    const { ids, spent } = await sendAllKinds(userId);
    await assertSettled(stack, userId, spent);
    await assertDrained(stack);
    const before = await everything(ids);
    await stack.stop('dispatcher');
    if (forgotten) await forgetRecords();
    await rewindDispatcher();
    expect(await isReadAgain()).toBe(false);
    await stack.restart('dispatcher');
    await until('every topic is read again to its end', isReadAgain, { withinMs: 40_000, everyMs: 250 });
    expect(await everything(ids)).toEqual(before);
    await assertSettled(stack, userId, spent);
    await assertDrained(stack);
  });
}

test('the report reads all topics again from their beginning: no sum and no row changes', async () => {
  const { ids, spent } = await sendAllKinds('again-report');
  await assertSettled(stack, 'again-report', spent);
  const before = await everything(ids);
  const totals = (await stack.report('again-report', '?limit=1')).counts;
  await stack.stop('report');
  const sql = postgres(stack.servers.databaseUrl, { max: 1 });
  const read = await sql`SELECT topic, partition, next_offset FROM consumer_offsets`;
  await sql`DELETE FROM consumer_offsets`;
  const admin = connectTestKafka(stack.servers.kafkaBrokers).admin();
  await admin.connect();
  for (const topic of new Set(read.map(({ topic }) => topic as string))) {
    await admin.resetOffsets({ groupId: 'jsms-report', topic, earliest: true });
  }
  await admin.disconnect();
  await stack.restart('report');
  await until('the report has read as far as before', async () => {
    const now = await sql`SELECT topic, partition, next_offset FROM consumer_offsets`;
    const far = new Map(now.map(({ topic, partition, next_offset }) => [`${topic}/${partition}`, Number(next_offset)]));
    return read.every(
      ({ topic, partition, next_offset }) => (far.get(`${topic}/${partition}`) ?? 0) >= Number(next_offset),
    );
  });
  await sql.end({ timeout: 5 });
  expect(await everything(ids)).toEqual(before);
  expect((await stack.report('again-report', '?limit=1')).counts).toEqual(totals);
  await assertSettled(stack, 'again-report', spent);
  await assertDrained(stack);
});
