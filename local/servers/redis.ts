/** A Redis fit for money: append-only file, fsync before every answer, nothing evicted. */
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { redisFitness } from '../fitness/redis.ts';
import { jarsFolder } from '../places.ts';
import { freePort } from '../ports.ts';
import { ensureJars, jarNamed } from './jars.ts';
import type { StartOptions } from './kafka.ts';
import { type LocalServer, startServer } from './server-process.ts';
import { zipEntries } from './zip.ts';

const run = promisify(execFile);
const RANK = 11;
const MEND =
  'install it (Debian: `apt install redis-server`; macOS: `brew install redis`), or let REDIS_URL name a Redis that runs';

export type RedisOptions = StartOptions & {
  /** As in redis.conf, e.g. `256mb`; `0` (default): no limit. */
  maxmemory?: string;
  password?: string;
};

/** Whether what `redis-server --version` prints is 6.2 or newer. */
export function isNewEnough(printed: string): boolean {
  const version = /v=(\d+)\.(\d+)/.exec(printed);
  const [major, minor] = [Number(version?.[1] ?? 0), Number(version?.[2] ?? 0)];
  return major > 6 || (major === 6 && minor >= 2);
}

const worksAs = (command: string): Promise<boolean> =>
  run(command, ['--version']).then(
    ({ stdout }) => isNewEnough(stdout),
    () => false,
  );

const JAR_ENTRY: Readonly<Record<string, RegExp>> = {
  'linux-x64': /^redis-server-.*-linux-amd64$/,
  'linux-arm64': /^redis-server-.*-linux-arm64$/,
  'darwin-x64': /^redis-server-.*-darwin-amd64$/,
  'darwin-arm64': /^redis-server-.*-darwin-arm64$/,
};

/** The redis-server of the PATH when it is new enough, else the one that the jar carries. */
async function findRedisServer(dir: string, options: StartOptions): Promise<string> {
  if (await worksAs('redis-server')) return 'redis-server';
  const platform = `${process.platform}-${process.arch}`;
  const wanted = JAR_ENTRY[platform];
  if (!wanted) throw new Error(`Redis 6.2 or newer is missing and there is none to fetch for ${platform}; ${MEND}.`);
  const jars = await ensureJars(jarsFolder(dir), options.progress ?? (() => undefined), options.signal);
  const binary = join(jars, 'redis-server');
  if (!existsSync(binary)) {
    const entry = zipEntries(jarNamed(jars, 'embedded-redis-')).find(({ name }) => wanted.test(name));
    if (!entry) throw new Error(`The fetched jar holds no redis-server for ${platform}; ${MEND}.`);
    const aside = `${binary}.${process.pid}`;
    writeFileSync(aside, entry.read());
    chmodSync(aside, 0o755);
    renameSync(aside, binary);
  }
  if (!(await worksAs(binary)))
    throw new Error(`The redis-server of the fetched jar does not run on this machine; ${MEND}.`);
  return binary;
}

const quoted = (text: string): string => `"${text.replace(/[\\"]/g, '\\$&')}"`;

function configuration(port: number, data: string, { maxmemory = '0', password }: RedisOptions): string {
  return [
    'bind 127.0.0.1',
    `port ${port}`,
    `dir ${quoted(data)}`,
    'daemonize no',
    'appendonly yes',
    'appendfsync always',
    'save ""',
    // A rewrite costs about as much as the messages of ten seconds; half a gigabyte is read in a few seconds at a start.
    'auto-aof-rewrite-min-size 512mb',
    // Compressing records of some 200 bytes takes more than half of what a rewrite costs, and spares a tenth of its size.
    'rdbcompression no',
    'maxmemory-policy noeviction',
    `maxmemory ${maxmemory}`,
    ...(password ? [`requirepass ${quoted(password)}`] : []),
    '',
  ].join('\n');
}

/**
 * Starts Redis with its data in `dir`/redis; returns when it has loaded them.
 * @throws one sentence: no Redis for this machine, no Maven, a taken port, or the end of its own log
 */
export async function startRedis(options: RedisOptions): Promise<LocalServer> {
  const { dir, owner = null, password, signal } = options;
  const command = await findRedisServer(dir, options);
  const port = options.port ?? (await freePort());
  const home = join(dir, 'redis');
  const data = join(home, 'data');
  mkdirSync(data, { recursive: true });
  const config = join(home, 'redis.conf');
  writeFileSync(config, configuration(port, data, options), { mode: 0o600 });
  const address = `redis://${password ? `:${encodeURIComponent(password)}@` : ''}127.0.0.1:${port}`;
  return startServer({
    name: 'redis',
    dir,
    address,
    port,
    rank: RANK,
    // Each message waits for it three times, and each wait was as long for a processor as for its work: it takes a sixth of two.
    launch: { command, args: [config], cwd: home, turn: 'first' },
    answers: async () => (await redisFitness(address, 1_000)).state === 'fit',
    stopSignal: 'SIGTERM',
    graceMs: 30_000,
    readyWithinMs: 90_000,
    owner,
    ...(signal ? { signal } : {}),
  });
}
