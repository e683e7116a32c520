/** What every scenario works with. */
import type { Redis } from 'ioredis';
import { connectPostgres, type Sql } from '../shared/postgres.ts';
import { connectRedis } from '../shared/redis.ts';
import { type Books, openBooks } from './books.ts';
import { type LoadProcess, startLoad } from './load-process.ts';
import { type MemoryProbe, startMemoryProbe } from './memory-latency.ts';
import type { Options } from './options.ts';
import { type Stack, startStack } from './stack.ts';

export type Bench = {
  options: Options;
  stack: Stack;
  load: LoadProcess;
  memoryProbe: MemoryProbe;
  books: Books;
  sql: Sql;
  redis: Redis;
  signal: AbortSignal;
  say: (line: string) => void;
  defer: (cleanUp: () => unknown) => void;
};

/** A measured column of the table; groups such as cpu_us hold one figure per process. */
export type Figure = number | string;
export type Figures = Record<string, Figure | Record<string, Figure>>;
export type Run = { scenario: string; title: string; figures: Figures; violations: string[] };

export type Tools = Pick<Bench, 'options' | 'signal' | 'say' | 'defer'>;

/** What an unknown outcome, and each retry, waits for: short, so that a scenario with faults comes to its end. */
const UNKNOWN_WAIT_S = 10;
const RETRY_WAITS_S = '1,2,4';
const STATEMENT_TIMEOUT_MS = 3_600_000;

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** A fresh stack with charged accounts, an idle load generator and a probe of the memory. */
export async function openBench(tools: Tools): Promise<Bench> {
  const { options, signal, say, defer } = tools;
  const stack = await startStack({
    connector: options.connector,
    unknownWaitS: UNKNOWN_WAIT_S,
    retryWaits: RETRY_WAITS_S,
    profileDir: options.profileDir,
    postgresBin: options.postgresBin,
    signal,
    say,
    defer,
  });
  const sql = connectPostgres(stack.servers.env.DATABASE_URL, {
    name: 'jsms-bench',
    max: 3,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  defer(() => sql.end({ timeout: 5 }));
  const redis = connectRedis(stack.servers.env.REDIS_URL, SILENT);
  defer(() => redis.disconnect());
  await redis.connect();
  const load = startLoad(signal);
  defer(() => load.close());
  const memoryProbe = startMemoryProbe();
  defer(() => memoryProbe.close());
  const books = await openBooks(stack, options.accounts);
  return { ...tools, stack, load, memoryProbe, books, sql, redis };
}
