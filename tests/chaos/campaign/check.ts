/** The end of an epoch: wait until nothing is on its way, read what every side knows of it, and hold it against the rules. */
import { Redis } from 'ioredis';
import postgres from 'postgres';
import { e164 } from '../../../simulator/number.ts';
import type { Audit } from '../../support/api.ts';
import { readShard, faultsOf as shardFaultsOf } from '../../support/coherence.ts';
import { until } from '../../support/poll.ts';
import { reportHasRead } from '../../support/report-has-read.ts';
import { TAGS } from '../../support/shards.ts';
import { faultsOf, type History, type Seen, type Shown, type Told } from '../history.ts';
import { OPERATORS, type OperatorName, WINDOW } from './operators.ts';
import type { Window } from './schedule.ts';
import type { World } from './world.ts';

export type Epoch = {
  told: readonly Told[];
  /** By account: what it was topped up with. */
  charged: ReadonlyMap<string, number>;
  windows: readonly Window[];
};

export type Finding = {
  /** A sentence each. */
  violations: string[];
  messages: number;
  /** Until nothing was on its way any more. */
  drainedMs: number;
  /** How many ended in each status, with their flags. */
  ends: Record<string, number>;
  /** By account, once drained: what a later epoch must not change. */
  posted: Map<string, number>;
};

const DRAINED_WITHIN_MS = 240_000;
/** A refused submit is tried again within these, and a lost answer waited for. */
const AFTER_MS = 15_000;
/** The shortest time in which an operator's window can be lost and filled again: its answers' timeout is longer. */
const WINDOW_LOST_EVERY_MS = 500;
const VIOLATIONS_MAX = 200;

type Row = {
  id: string;
  user_id: string;
  phone: string | null;
  status: string;
  price: string | null;
  posted: string;
  attempts: number;
  flags: string[] | null;
  operator: string;
  /** By the gateway's clock, which a fault may have set ahead; no later than the decision, which is by that of Redis. */
  created: string;
  updated: string;
};

async function auditOf(world: World, userId: string): Promise<Audit> {
  const answer = await fetch(`${world.urls.billing}/audit/${userId}`, { signal: AbortSignal.timeout(10_000) });
  if (answer.status !== 200) throw new Error(`the audit answers ${answer.status}`);
  return (await answer.json()) as Audit;
}

/** Nothing is open in any account of the epoch, no outbox holds anything, PostgreSQL has read everything. */
async function drain(world: World, accounts: readonly string[], redis: Redis): Promise<void> {
  await until(
    'everything is drained',
    async () => {
      const left: Record<string, number> = {};
      for (const index of ['outbox', 'due', 'ledger']) {
        const command = index === 'ledger' ? 'hlen' : 'zcard';
        const counts = await Promise.all(TAGS.map((tag) => redis[command](`${tag}:${index}`)));
        left[index] = counts.reduce((sum, count) => sum + count, 0);
      }
      if (Object.values(left).some((n) => n > 0)) throw new Error(JSON.stringify(left));
      for (const userId of accounts) {
        const audit = await auditOf(world, userId);
        if (audit.redis.open_holds > 0 || !audit.balanced) throw new Error(JSON.stringify(audit));
      }
      return true;
    },
    { withinMs: DRAINED_WITHIN_MS, everyMs: 500 },
  );
  await reportHasRead(world.direct.kafkaBrokers, world.direct.databaseUrl, DRAINED_WITHIN_MS);
}

/** What every operator got, by number: each message has one of its own. */
function readSeen(world: World): Map<string, Seen> {
  const seen = new Map<string, Seen>();
  for (const name of world.simulator.names) {
    for (const { to, received, accepted } of world.simulator.records(name, { limit: 5_000_000 })) {
      const phone = e164(to);
      const before = seen.get(phone) ?? { received: 0, accepted: 0 };
      seen.set(phone, { received: before.received + received, accepted: before.accepted + accepted });
    }
  }
  return seen;
}

const overlaps = (window: Window, from: number, to: number): boolean =>
  window.from <= to && window.to + AFTER_MS >= from;

/** At most so many messages may be flagged: an operator's window each time that it can have been lost. */
function flaggedMax(windows: readonly Window[]): number {
  const perLoss = Object.keys(OPERATORS).length * WINDOW * 2;
  return windows.reduce((sum, { from, to }) => sum + perLoss * (2 + Math.ceil((to - from) / WINDOW_LOST_EVERY_MS)), 0);
}

async function readHistory(
  world: World,
  epoch: Epoch,
  sql: postgres.Sql,
): Promise<{ history: History; faults: string[] }> {
  const { told, charged, windows } = epoch;
  const byPhone = readSeen(world);
  const shown = new Map<string, Shown>();
  const seen = new Map<string, Seen>();
  const refusals = windows.filter(({ refuses }) => refuses.length > 0);
  const rows = sql<Row[]>`
    SELECT id, user_id, phone, status, price, posted, attempts, flags, operator,
      extract(epoch from least(created_at, decided_at)) * 1000 AS created, extract(epoch from updated_at) * 1000 AS updated
    FROM messages WHERE user_id = ANY(${[...charged.keys()]})`.cursor(5_000);
  for await (const page of rows) {
    for (const row of page) {
      const operator = row.operator as OperatorName;
      const [from, to] = [Number(row.created), Number(row.updated)];
      shown.set(row.id, {
        userId: row.user_id,
        status: row.status,
        price: Number(row.price),
        posted: Number(row.posted),
        attempts: row.attempts,
        flags: row.flags ?? [],
        policy: OPERATORS[operator].policy,
        refusable: refusals.some((window) => window.refuses.includes(operator) && overlaps(window, from, to)),
      });
      const found = byPhone.get(row.phone ?? '');
      if (found) seen.set(row.id, found);
      byPhone.delete(row.phone ?? '');
    }
  }
  const faults = [...byPhone.keys()].map(
    (phone) => `a number ending in ${phone.slice(-4)} was submitted without a hold`,
  );
  const accounts = new Map<string, { charged: number; redis: Audit['redis']; postgres: Audit['postgres'] }>();
  for (const [userId, amount] of charged) {
    const { redis, postgres: other } = await auditOf(world, userId);
    accounts.set(userId, { charged: amount, redis, postgres: other });
  }
  return { history: { policy: 'wait', told, seen, shown, accounts, flaggedMax: flaggedMax(windows) }, faults };
}

/**
 * The sums that the report keeps beside the messages say what the messages say, both as of one instant: receipts that operators
 * send late go on coming.
 */
async function faultsOfSums(sql: postgres.Sql, accounts: readonly string[]): Promise<string[]> {
  const rows = await sql.begin(
    'isolation level repeatable read read only',
    (tx) => tx<{ user_id: string; status: string; kept: number; counted: number }[]>`
      WITH kept AS (
        SELECT user_id, status, sum(messages)::int AS n FROM daily_totals WHERE user_id = ANY(${accounts as string[]}) GROUP BY 1, 2
      ), counted AS (
        SELECT user_id, status, count(*)::int AS n FROM messages WHERE user_id = ANY(${accounts as string[]}) GROUP BY 1, 2
      )
      SELECT user_id, status, coalesce(kept.n, 0) AS kept, coalesce(counted.n, 0) AS counted
      FROM kept FULL JOIN counted USING (user_id, status) WHERE coalesce(kept.n, 0) <> coalesce(counted.n, 0)`,
  );
  return rows.map(
    ({ user_id, status, kept, counted }) =>
      `account ${user_id}: the report counts ${kept} ${status}, its messages say ${counted}`,
  );
}

/** Keys of idempotency are kept for a day by promise; this run has no use for those of an epoch that is over. */
async function forgetKeys(redis: Redis): Promise<void> {
  for (let cursor = '0'; ; ) {
    const [next, found] = await redis.scan(cursor, 'MATCH', '{b*}:k:*', 'COUNT', 5_000);
    if (found.length > 0) await redis.unlink(...found);
    cursor = next;
    if (cursor === '0') return;
  }
}

/**
 * @param before what the accounts of earlier epochs had posted
 * @throws nothing for what is wrong with the history: those are its violations
 */
export async function checkEpoch(world: World, epoch: Epoch, before: ReadonlyMap<string, number>): Promise<Finding> {
  const redis = new Redis(world.direct.redisUrl, { maxRetriesPerRequest: 3 });
  const sql = postgres(world.direct.databaseUrl, { max: 2, onnotice: () => undefined });
  const finding: Finding = { violations: [], messages: 0, drainedMs: 0, ends: {}, posted: new Map() };
  const began = performance.now();
  const { violations } = finding;
  try {
    await drain(world, [...epoch.charged.keys()], redis).catch((thrown: Error) => violations.push(thrown.message));
    finding.drainedMs = performance.now() - began;
    const { history, faults } = await readHistory(world, epoch, sql);
    violations.push(...faults, ...faultsOf(history), ...(await faultsOfSums(sql, [...epoch.charged.keys()])));
    await forgetKeys(redis);
    for (const tag of TAGS) violations.push(...shardFaultsOf(await readShard(redis, tag)));
    for (const [userId, posted] of before) {
      const found = (await auditOf(world, userId)).redis.posted;
      if (found !== posted) violations.push(`account ${userId}: posted ${posted} when it was checked, ${found} later`);
    }
    for (const { status, flags, userId, posted } of history.shown.values()) {
      const end = [status, ...flags].join(' ');
      finding.ends[end] = (finding.ends[end] ?? 0) + 1;
      finding.posted.set(userId, (finding.posted.get(userId) ?? 0) + posted);
    }
    finding.messages = history.shown.size;
  } finally {
    redis.disconnect();
    await sql.end({ timeout: 5 });
  }
  violations.splice(VIOLATIONS_MAX);
  return finding;
}

/** The kinds of faults under which a violation's message was on its way; all of the epoch's where it names none. */
export function kindsOf(violation: string, windows: readonly Window[]): Set<string> {
  const id = /\b([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-/.exec(violation);
  const at = id ? Number.parseInt(`${id[1]}${id[2]}`, 16) : null;
  const under = at === null ? windows : windows.filter((window) => overlaps(window, at, at + AFTER_MS));
  return new Set(under.map(({ kind }) => kind));
}
