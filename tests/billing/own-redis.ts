/** A Redis of a test file's own: what it does to its server (restarts, a full memory, other clocks) disturbs nobody. */
import { rmSync } from 'node:fs';
import { ownIdentity } from '../../local/pid-file.ts';
import { endWithProcess, temporaryDir } from '../../local/servers/all.ts';
import { type RedisOptions, startRedis } from '../../local/servers/redis.ts';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { createLog, type Log } from '../../shared/log.ts';
import { connectRedis, type Redis, requireDurable } from '../../shared/redis.ts';

export const quiet: Log = createLog('test', 'error', () => undefined);

export type OwnRedis = {
  url: string;
  server: LocalServer;
  /** As the services connect. */
  redis: Redis;
  close(): Promise<void>;
};

export async function startOwnRedis(options: Pick<RedisOptions, 'maxmemory' | 'password'> = {}): Promise<OwnRedis> {
  const dir = temporaryDir();
  endWithProcess(dir);
  const server = await startRedis({ dir, owner: ownIdentity(), ...options });
  const redis = connectRedis(server.address, quiet);
  await requireDurable(redis);
  return {
    url: server.address,
    server,
    redis,
    close: async () => {
      redis.disconnect();
      await server.kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Fills Redis until it takes not even a small write any more. */
export async function fillMemory(redis: Redis): Promise<void> {
  let n = 0;
  for (const bytes of [100_000, 1_000, 10]) {
    for (;;) {
      const refused = await redis.set(`filler:${n++}`, 'x'.repeat(bytes)).then(
        () => false,
        (thrown: Error) => /OOM/.test(thrown.message) || Promise.reject(thrown),
      );
      if (refused) break;
    }
  }
}

/**
 * Every key with its content, as Redis serializes it: two dumps are equal when nothing was written between them. Leases come
 * and go by themselves and are left out.
 */
export async function dumpOf(redis: Redis): Promise<Record<string, string>> {
  const keys = (await redis.keys('*')).filter((key) => !key.includes(':lease:')).sort();
  const dump: Record<string, string> = {};
  for (const key of keys) {
    const content = (await redis.dumpBuffer(key)) as Buffer | null;
    // Null: it expired between the two calls, as it would have without anybody looking.
    if (content !== null) dump[key] = content.toString('base64');
  }
  return dump;
}
