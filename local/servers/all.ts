/** Kafka, Redis and PostgreSQL together: a fresh set for a test or a benchmark. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ownIdentity } from '../pid-file.ts';
import { type KafkaOptions, type StartOptions, startKafka } from './kafka.ts';
import { startPostgres } from './postgres.ts';
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
  Pick<RedisOptions, 'maxmemory'>;

/** Starts all of them at once; when one fails, or a signal comes, the others are ended and the first fault is thrown. */
export async function allOrNone<T extends { stop(): Promise<void> }>(starts: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(starts);
  const fault = results.find((result) => result.status === 'rejected');
  if (fault) {
    await Promise.all(results.map((result) => (result.status === 'fulfilled' ? result.value.stop() : undefined)));
    throw fault.reason;
  }
  return results.filter((result) => result.status === 'fulfilled').map((result) => result.value);
}

/** Starts the three on free ports, with their data in `options.dir`. */
export async function startServers(options: ServersOptions): Promise<LocalServers> {
  const servers = await allOrNone([startKafka(options), startRedis(options), startPostgres(options)]);
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
