/**
 * The fear: under load, with every service killed and started again in the middle, something is lost, doubled or paid wrongly.
 * CHAOS_MESSAGES says how many messages a run has: some by default, 20,000 for the acceptance run, which also waits until
 * Redis has forgotten them.
 */
import { expect, test } from 'bun:test';
import { Redis } from 'ioredis';
import type { Item } from '../support/api.ts';
import { assertLeaving } from '../support/coherence.ts';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained } from '../support/settled.ts';
import type { ServiceName, Stack } from '../support/stack.ts';
import { useStack } from '../support/use-stack.ts';
import { type Job, startCrowd } from './crowd.ts';
import { faultsOf, type History, type Shown, type Told } from './history.ts';

const MESSAGES = Number(process.env.CHAOS_MESSAGES || 2_000);
const WAITS_UNTIL_FORGOTTEN = MESSAGES >= 20_000;
const CONNECTIONS = 64;
const WINDOW = 32;
const OPERATORS = 3;
/** In this order, each in the middle of its share of the load. */
const KILLS: readonly ServiceName[] = ['dispatcher', 'report', 'billing', 'gateway', 'dispatcher'];
const ACCOUNTS = ['crowd-a', 'crowd-b', 'crowd-c', 'crowd-d', 'crowd-e'];
const FUNDS = 1_000_000_000;
const RUN_WITHIN_MS = 20 * 60_000;

// The operators live in this busy process: their answers must not count as lost for being late.
const stack = useStack({ operators: { '*': { unknown_wait_s: 1, http: { window: WINDOW, timeout_ms: 4_000 } } } });

/** Every eighth client has no key and asks once. */
function job(policy: string, n: number): Job {
  const body = {
    phone: newPhone(['912', '935', '920'][n % 3] as string),
    user_id: `${policy}-${ACCOUNTS[n % ACCOUNTS.length]}`,
    text: `message ${n}`,
    type: n % 4 === 0 ? ('express' as const) : ('normal' as const),
  };
  return n % 8 === 7 ? { body } : { body, key: `${policy}-${n}` };
}

const submitted = (): number =>
  stack.simulator.names.reduce((sum, name) => sum + stack.simulator.counters(name).received, 0);

/** Sends a share of the messages and kills one service in the middle of it. */
async function sendAndKill(jobs: readonly Job[], victim: ServiceName): Promise<readonly Told[]> {
  const before = submitted();
  const crowd = startCrowd(stack, jobs, CONNECTIONS);
  await until('a part of the load is through', () => crowd.told.length >= jobs.length * 0.3 && submitted() > before, {
    everyMs: 2,
    withinMs: 30_000,
  });
  await stack.kill(victim);
  await stack.restart(victim);
  await crowd.done;
  return crowd.told;
}

async function allItems(userId: string): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<Stack['report']>> = await stack.report(
      userId,
      `?limit=500${cursor === null ? '' : `&cursor=${cursor}`}`,
    );
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return items;
}

async function readHistory(policy: History['policy'], told: readonly Told[]): Promise<History> {
  const shown = new Map<string, Shown>();
  const accounts: History['accounts'] extends ReadonlyMap<string, infer A> ? Map<string, A> : never = new Map();
  for (const name of ACCOUNTS) {
    const userId = `${policy}-${name}`;
    for (const { message_id, status, price, posted, attempts, flags } of await allItems(userId)) {
      shown.set(message_id, { userId, status, price, posted, attempts, flags });
    }
    const { redis, postgres } = await stack.audit(userId);
    accounts.set(userId, { charged: FUNDS, redis, postgres });
  }
  const seen = new Map(
    stack.simulator.names.flatMap((name) =>
      stack.simulator
        .records(name, { limit: 1_000_000 })
        .map(({ message_id, received, accepted }) => [message_id, { received, accepted }] as const),
    ),
  );
  // A claim is for a free slot of the window, plus what covers one claim's round trip.
  const flaggedMax = KILLS.filter((service) => service === 'dispatcher').length * OPERATORS * WINDOW * 2;
  return { policy, told, seen, shown, accounts, flaggedMax };
}

/** Every record of a message is being forgotten; with patience, is forgotten, and Redis is as small as before. */
async function assertForgetting(datasetBefore: number): Promise<void> {
  const redis = new Redis(stack.servers.redis.address);
  const dataset = async (): Promise<number> =>
    Number(/used_memory_dataset:(\d+)/.exec(await redis.info('memory'))?.[1] ?? Number.NaN);
  const records = async (): Promise<string[]> => redis.keys('{b*}:m:*');
  try {
    await assertLeaving(redis);
    for (const index of ['outbox', 'due', 'ledger']) {
      for (const key of await redis.keys(`{b*}:${index}`)) expect([key, await redis.exists(key)]).toEqual([key, 0]);
    }
    if (!WAITS_UNTIL_FORGOTTEN) return;
    await until('every record is forgotten', async () => (await records()).length === 0, {
      withinMs: 180_000,
      everyMs: 1_000,
    });
    // Keys of idempotency are kept for a day by promise: they are counted apart.
    const keys = await redis.keys('{b*}:k:*');
    for (let i = 0; i < keys.length; i += 1_000) await redis.del(...keys.slice(i, i + 1_000));
    expect(await dataset()).toBeLessThan(datasetBefore + 1_000_000);
  } finally {
    redis.disconnect();
  }
}

async function readDataset(): Promise<number> {
  const redis = new Redis(stack.servers.redis.address);
  const info = await redis.info('memory');
  redis.disconnect();
  return Number(/used_memory_dataset:(\d+)/.exec(info)?.[1]);
}

async function run(policy: History['policy']): Promise<History> {
  stack.simulator.reset();
  for (const name of stack.simulator.names) {
    stack.simulator.dials(name, { dedupe: policy === 'resend', latency_ms: 20, latency_jitter_ms: 20 });
  }
  const spec = stack.operators;
  for (const operator of Object.values(spec.operators)) operator.on_unknown = policy;
  stack.writeOperators(spec);
  await stack.restart('dispatcher');
  for (const name of ACCOUNTS) await stack.charge(`${policy}-${name}`, FUNDS);
  const datasetBefore = await readDataset();

  const told: Told[] = [];
  const share = Math.ceil(MESSAGES / KILLS.length);
  for (const [i, victim] of KILLS.entries()) {
    const jobs = Array.from({ length: share }, (_, n) => job(policy, i * share + n));
    told.push(...(await sendAndKill(jobs, victim)));
  }
  await assertDrained(stack, 180_000);
  await assertForgetting(datasetBefore);
  return readHistory(policy, told);
}

const counts = ({ told, shown }: History): Record<string, number> => {
  const found: Record<string, number> = {};
  const add = (name: string): void => {
    found[name] = (found[name] ?? 0) + 1;
  };
  for (const { kind } of told) add(`told ${kind}`);
  for (const { status, flags } of shown.values()) add([status, ...flags].join(' '));
  return found;
};

/** Why messages were flagged: what the first step of each says that left it unknown. */
async function reasonsOfFlags({ shown }: History): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const [id, { flags }] of shown) {
    if (flags.length === 0) continue;
    const { timeline } = await stack.message(id);
    const step = timeline.find(({ event }) => event === 'unknown' || event === 'retrying');
    const reason = String(step?.detail);
    found[reason] = (found[reason] ?? 0) + 1;
  }
  return found;
}

for (const [policy, promise] of [
  ['wait', 'no message is accepted twice, at most what was claimed at a kill is flagged and refunded, each ends once'],
  ['resend', 'with operators that remove duplicates every message is accepted once and paid once'],
] as const) {
  test(
    `every service killed under load, lost answers ${policy === 'wait' ? 'waited for' : 'asked for again'}: ${promise}`,
    async () => {
      const history = await run(policy);
      console.log(`${policy}: ${JSON.stringify({ ...counts(history), flags: await reasonsOfFlags(history) })}`);
      expect(faultsOf(history)).toEqual([]);
      // The run was what it claims to be: nearly everything was accepted, through kills that left claims behind.
      const accepted = history.told.filter(({ kind }) => kind === 'accepted').length;
      expect(accepted).toBeGreaterThan(MESSAGES * 0.9);
    },
    RUN_WITHIN_MS,
  );
}
