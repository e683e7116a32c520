/** Whether a message costs more when there have been many, and whether memory comes back. */
import { setTimeout as delay } from 'node:timers/promises';
import { Stopped } from '../../local/wait.ts';
import type { Bench, Figures, Run } from '../bench.ts';
import { checkBooks } from '../check.ts';
import { measureLoad, planOf } from '../measure.ts';
import { sendShots } from '../shots.ts';
import type { ServiceName } from '../stack.ts';
import { rounded } from '../statistics.ts';

const SECONDS_MAX = 7_200;
const SOAK_PER_S = 500;
const SOAK_CONNECTIONS_MAX = 512;
const SAMPLE_EVERY_MS = 5_000;
/** Records are forgotten two minutes after their end. */
const FORGOTTEN_WITHIN_MS = 240_000;
/** Keys that always expire and always come again: a sweeper's and a relay's lease per shard. */
const LEASES_MAX = 64;
const SERVICES: readonly ServiceName[] = ['gateway', 'billing', 'dispatcher', 'report'];

/** Redis' memory in bytes once nothing waits to be forgotten. Throws a sentence when something stays. */
async function restingMemory({ redis, signal }: Bench): Promise<number> {
  const until = performance.now() + FORGOTTEN_WITHIN_MS;
  for (;;) {
    const expiring = Number(/expires=(\d+)/.exec(await redis.info('keyspace'))?.[1] ?? 0);
    if (expiring <= LEASES_MAX) return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
    if (signal.aborted) throw new Stopped();
    if (performance.now() > until) throw new Error(`${expiring} keys of Redis were not forgotten in time`);
    await delay(1_000);
  }
}

async function soak(bench: Bench): Promise<Figures> {
  const { soakS } = bench.options;
  bench.say(`growth: ${SOAK_PER_S} requests a second for ${soakS} s …`);
  const samples: Record<string, number>[] = [];
  const sample = (): void => {
    const usage = bench.stack.usage(true);
    samples.push(Object.fromEntries(SERVICES.map((name) => [name, (usage[name]?.memoryBytes ?? 0) / 1_048_576])));
  };
  const timer = setInterval(sample, SAMPLE_EVERY_MS);
  const plan = planOf(bench, {
    shots: await sendShots(bench),
    connections: SOAK_CONNECTIONS_MAX,
    ratePerS: SOAK_PER_S,
    seconds: soakS,
  });
  const { figures } = await measureLoad(bench, plan).finally(() => clearInterval(timer));
  // Of a quarter the least: what garbage is on the heap at an instant says nothing.
  const quarter = Math.max(1, Math.floor(samples.length / 4));
  const least = (some: typeof samples): Record<string, number> =>
    Object.fromEntries(SERVICES.map((name) => [name, rounded(Math.min(...some.map((one) => one[name] ?? 0)), 0)]));
  return {
    ...figures,
    memory_mb_in_the_first_quarter: least(samples.slice(0, quarter)),
    memory_mb_in_the_last_quarter: least(samples.slice(-quarter)),
  };
}

export async function growth(bench: Bench): Promise<Run[]> {
  const { sizes, soakS } = bench.options;
  const connections = Math.max(...bench.options.connections);
  bench.say('growth: waiting until Redis has forgotten what was …');
  const before = await restingMemory(bench);
  const shots = await sendShots(bench);
  const runs: Run[] = [];
  let sent = 0;
  for (const size of [...sizes].sort((a, b) => a - b)) {
    bench.say(`growth: up to ${size} messages …`);
    const plan = planOf(bench, { shots, connections, requestsMax: size - sent, seconds: SECONDS_MAX });
    const { result, figures } = await measureLoad(bench, plan);
    sent += result.requests;
    runs.push({ scenario: 'growth', title: `to ${size}`, figures, violations: [] });
  }
  const costs = runs.map(({ figures }) => figures.cpu_us_per_message as number);
  bench.say('growth: waiting until Redis has forgotten all of it …');
  const after = await restingMemory(bench);
  const last = runs.at(-1) as Run;
  Object.assign(last.figures, {
    cost_against_the_first: rounded((costs.at(-1) as number) / (costs[0] as number), 2),
    redis_mb_before: rounded(before / 1_048_576, 2),
    redis_mb_after: rounded(after / 1_048_576, 2),
    redis_after_against_before: rounded(after / before, 3),
  });
  if (soakS > 0)
    runs.push({ scenario: 'growth', title: `soak ${soakS} s`, figures: await soak(bench), violations: [] });
  (runs.at(-1) as Run).violations = await checkBooks(bench);
  return runs;
}
