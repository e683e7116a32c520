/** One load from its first request to the last final row in PostgreSQL, and what it cost. */
import type { Bench, Figures } from './bench.ts';
import { drained, finalCount } from './drain.ts';
import type { LoadPlan, LoadResult, Shot } from './load/plan.ts';
import { latencyNs, type Reads } from './memory-latency.ts';
import { machineCpu, type Snapshot, usageOf } from './processes.ts';
import { PARTS } from './stack.ts';
import { rounded } from './statistics.ts';

/** No closed loop sends more in a second; serials are reserved by it. */
const REQUESTS_PER_S_MAX = 40_000;

/** The gateway answers or refuses within seconds; more than this is a fault. */
const ANSWERED_WITHIN_MS = 20_000;

/** A plan with what most plans have: everything through one keep-alive loop, no ids kept. */
export function planOf(
  bench: Bench,
  plan: Partial<LoadPlan> & { shots: readonly Shot[]; connections: number },
): LoadPlan {
  const seconds = plan.seconds ?? bench.options.seconds;
  const requestsMax = plan.requestsMax ?? seconds * REQUESTS_PER_S_MAX;
  return {
    host: '127.0.0.1',
    port: bench.stack.services.gateway.port,
    seconds,
    ratePerS: 0,
    keepSerials: false,
    graceMs: ANSWERED_WITHIN_MS,
    serialFrom: bench.books.serials(requestsMax),
    ...plan,
    requestsMax,
  };
}

/** Sends a load and books what was accepted. */
export async function send(bench: Bench, plan: LoadPlan, load = bench.load): Promise<LoadResult> {
  const result = await load.run(plan);
  bench.books.add(result, plan.shots[0]?.messages ?? 1);
  return result;
}

export type Cost = {
  usage: Snapshot;
  machine: ReturnType<typeof machineCpu>;
  reads: Reads;
  stores: Stores;
  at: number;
};

/** Counters of the stores themselves. */
type Stores = { redisScripts: number; redisCommands: number; transactions: number; walBytes: number };

async function readStores({ redis, sql }: Bench): Promise<Stores> {
  const stats = await redis.info('commandstats');
  const calls = (name: string): number =>
    Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, 'm').exec(stats)?.[1] ?? 0);
  const all = [...stats.matchAll(/^cmdstat_[^:]+:calls=(\d+)/gm)].reduce((sum, [, n]) => sum + Number(n), 0);
  const [row] = await sql<{ transactions: number; wal: number }[]>`
    SELECT xact_commit::float8 AS transactions, (SELECT wal_bytes::float8 FROM pg_stat_wal) AS wal
    FROM pg_stat_database WHERE datname = current_database()`;
  return {
    redisScripts: calls('evalsha') + calls('eval'),
    redisCommands: all,
    transactions: row?.transactions ?? 0,
    walBytes: row?.wal ?? 0,
  };
}

/** What everything has cost since its start. */
export async function readCost(bench: Bench, withMemory = false): Promise<Cost> {
  const stores = await readStores(bench);
  const { user, system } = process.cpuUsage();
  // Everything is a child of the bench: of its own CPU only what this process used counts.
  const own = { bench: { cpuUs: user + system, memoryBytes: 0 } };
  const usage = {
    ...bench.stack.usage(withMemory),
    ...usageOf({ load: bench.load.pid, probe: bench.memoryProbe.pid }),
    ...own,
  };
  return { usage, machine: machineCpu(), reads: bench.memoryProbe.read(), stores, at: performance.now() };
}

/** The cost between two instants by message, and the memory at the second one. */
export function costFigures(before: Cost, after: Cost, messages: number): Figures {
  const per = (name: string): number => ((after.usage[name]?.cpuUs ?? 0) - (before.usage[name]?.cpuUs ?? 0)) / messages;
  const cpu: Record<string, number> = {};
  let system = 0;
  for (const part of PARTS) {
    cpu[part] = rounded(per(part), 1);
    system += per(part);
  }
  const apart = { simulator: per('simulator'), load: per('load'), bench: per('bench'), probe: per('probe') };
  const machine = (name: keyof Cost['machine']): number => after.machine[name] - before.machine[name];
  const total = machine('totalUs');
  const percent = (us: number): number => (total > 0 ? rounded((us / total) * 100, 0) : 0);
  const known = system + apart.simulator + apart.load + apart.bench + apart.probe;
  const stores = (pick: (stores: Stores) => number): number => (pick(after.stores) - pick(before.stores)) / messages;
  return {
    cpu_us_per_message: rounded(system, 1),
    cpu_us: cpu,
    cpu_us_apart: {
      simulator: rounded(apart.simulator, 1),
      load_generator: rounded(apart.load + apart.bench, 1),
      memory_probe: rounded(apart.probe, 1),
      rest_of_the_machine: rounded(machine('busyUs') / messages - known, 1),
    },
    machine_busy_percent: percent(machine('busyUs')),
    machine_stolen_percent: percent(machine('stolenUs')),
    memory_read_ns: rounded(latencyNs(before.reads, after.reads), 0),
    per_1000_messages: {
      redis_scripts: rounded(stores(({ redisScripts }) => redisScripts) * 1_000, 1),
      redis_commands: rounded(stores(({ redisCommands }) => redisCommands) * 1_000, 0),
      postgres_transactions: rounded(stores(({ transactions }) => transactions) * 1_000, 1),
      postgres_wal_kb: rounded(stores(({ walBytes }) => walBytes) / 1.024, 0),
    },
    memory_mb: Object.fromEntries(
      PARTS.map((part) => [part, rounded((after.usage[part]?.memoryBytes ?? 0) / 1_048_576, 0)] as const),
    ),
  };
}

/** The latency of the answers. */
export function latencyFigures({ latencyMs, waited }: LoadResult): Figures {
  const { p50, p99, p999 } = latencyMs;
  return {
    answer_p50_ms: rounded(p50, 2),
    answer_p99_ms: rounded(p99, 2),
    answer_p999_ms: rounded(p999, 2),
    ...(waited > 0 ? { requests_that_waited_for_a_connection: waited } : {}),
  };
}

/** What was not answered with 202; nothing when all were. */
export function refusalFigures({ statuses, lost }: LoadResult): Figures {
  const refused = Object.entries(statuses).filter(([status]) => status !== '202');
  return {
    ...(refused.length > 0 ? { refused: Object.fromEntries(refused) } : {}),
    ...(lost > 0 ? { answers_lost: lost } : {}),
  };
}

/** Sends a load, waits until all of it is final, and tells speed, latency and cost. */
export async function measureLoad(bench: Bench, plan: LoadPlan): Promise<{ result: LoadResult; figures: Figures }> {
  const finalBefore = await finalCount(bench);
  const before = await readCost(bench);
  const result = await send(bench, plan);
  const { at } = await drained(bench, finalBefore + result.accepted);
  const after = await readCost(bench, true);
  const loadS = (result.endedAt - result.startedAt) / 1_000;
  const wholeS = (at - result.startedAt) / 1_000;
  const figures: Figures = {
    accepted: result.accepted,
    accepted_per_s: rounded(result.accepted / loadS, 0),
    final_per_s: rounded(result.accepted / wholeS, 0),
    drain_s: rounded(wholeS - loadS, 1),
    ...latencyFigures(result),
    ...refusalFigures(result),
    ...costFigures(before, after, result.accepted),
  };
  return { result, figures };
}
