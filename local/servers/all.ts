/** Kafka, Redis and PostgreSQL together: a fresh set for a test or a benchmark. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ownIdentity } from '../pid-file.ts';
import { type KafkaOptions, type StartOptions, startKafka } from './kafka.ts';
import { type PostgresOptions, startPostgres } from './postgres.ts';
import { type RedisOptions, startRedis } from './redis.ts';
import type { LocalServer } from './server-process.ts';

export type LocalServers = {
  kafka: LocalServer;
  redis: LocalServer;
  postgres: LocalServer;
  /** The three settings that lead the services to them. */
  env: { KAFKA_BROKERS: string; REDIS_URL: string; DATABASE_URL: string };
  /** Ends all three. Their data stay. */
  stop(): Promise<void>;
};

export type ServersOptions = Omit<StartOptions, 'port'> &
  Pick<KafkaOptions, 'heapMb'> &
  Pick<PostgresOptions, 'programs'> &
  Pick<RedisOptions, 'maxmemory'>;

type Startable = { stop(): Promise<void> };

/**
 * Starts all of them at once. When one fails, or the signal comes, the others are given up or ended, and the first fault
 * is thrown.
 */
export async function allOrNone<T extends Startable>(
  signal: AbortSignal | undefined,
  starts: readonly ((signal: AbortSignal) => Promise<T>)[],
): Promise<T[]> {
  const fault = new AbortController();
  const either = signal ? AbortSignal.any([signal, fault.signal]) : fault.signal;
  let first: unknown = null;
  const startOne = async (start: (signal: AbortSignal) => Promise<T>): Promise<T | null> => {
    try {
      return await start(either);
    } catch (thrown) {
      first ??= thrown;
      fault.abort();
      return null;
    }
  };
  const results = await Promise.all(starts.map(startOne));
  const started = results.filter((result) => result !== null);
  if (first === null) return started;
  await Promise.all(started.map((one) => one.stop()));
  throw first;
}

/** Starts the three on free ports, with their data in `options.dir`. */
export async function startServers(options: ServersOptions): Promise<LocalServers> {
  const servers = await allOrNone<LocalServer>(options.signal, [
    (signal) => startKafka({ ...options, signal }),
    (signal) => startRedis({ ...options, signal }),
    (signal) => startPostgres({ ...options, signal }),
  ]);
  const [kafka, redis, postgres] = servers as [LocalServer, LocalServer, LocalServer];
  return {
    kafka,
    redis,
    postgres,
    env: { KAFKA_BROKERS: kafka.address, REDIS_URL: redis.address, DATABASE_URL: postgres.address },
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}

/** A new folder for servers that end with a test or a benchmark. */
export const temporaryDir = (): string => mkdtempSync(join(tmpdir(), 'jsms-gateway-'));

/**
 * Sees to it that whatever runs for `dir` ends when the process of `owner` does, even by SIGKILL, and that the folder goes
 * then: a small process of its own waits for that. Call it before the first server is started there.
 */
export function endWithProcess(dir: string, owner: { pid: number; identity: string } = ownIdentity()): void {
  const program = join(import.meta.dirname, '..', 'commands', 'watchdog.ts');
  spawn(process.execPath, [program, dir, String(owner.pid), owner.identity], {
    detached: true,
    stdio: 'ignore',
    cwd: tmpdir(),
  }).unref();
}

/** `startServers` in a temporary folder that ends with this process: what a test or a benchmark wants. */
export async function startTemporaryServers(
  options: Omit<ServersOptions, 'dir'> = {},
): Promise<LocalServers & { dir: string }> {
  const dir = temporaryDir();
  endWithProcess(dir);
  const servers = await startServers({ ...options, dir });
  const stop = async () => {
    await servers.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return { ...servers, dir, stop };
}
