/** Finds or starts Kafka, Redis and PostgreSQL: those that answer, else by Docker, else natively. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ComposeService,
  composeNote,
  composeStop,
  composeUp,
  findCompose,
  forFolder,
  sharesVolumes,
} from './compose.ts';
import type { Fitness } from './fitness/fitness.ts';
import { kafkaFitness, splitAddress } from './fitness/kafka.ts';
import { postgresFitness } from './fitness/postgres.ts';
import { redisFitness } from './fitness/redis.ts';
import { type PidRecord, runningRecords } from './pid-file.ts';
import { isThisMachine } from './ports.ts';
import { allOrNone } from './servers/all.ts';
import { startKafka } from './servers/kafka.ts';
import { startPostgres } from './servers/postgres.ts';
import { startRedis } from './servers/redis.ts';
import type { LocalServer } from './servers/server-process.ts';
import type { LocalSettings } from './settings.ts';
import { poll } from './wait.ts';

type Start = {
  dir: string;
  port: number;
  owner: PidRecord['owner'];
  progress: (line: string) => void;
  signal: AbortSignal;
};

type Wanted = {
  id: ComposeService;
  title: string;
  setting: 'KAFKA_BROKERS' | 'REDIS_URL' | 'DATABASE_URL';
  /** Without login. */
  where: { host: string; port: number };
  fitness: () => Promise<Fitness>;
  start: (options: Start) => Promise<LocalServer>;
};

export type Found = { id: ComposeService; title: string; where: string; how: 'running' | 'docker' | 'started' };

export type Infra = {
  found: Found[];
  /** Those that were started natively just now. */
  servers: LocalServer[];
  /** Ends what was started here, and nothing else. Data stay. */
  stop(): Promise<void>;
};

type Context = {
  owner: PidRecord['owner'];
  say: (line: string) => void;
  signal: AbortSignal;
};

const MAY_TAKE_TO_COME_UP_MS = 20_000;

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '');

/** The three servers as the settings want them. */
function wantedServers(settings: LocalSettings): Wanted[] {
  const redis = new URL(settings.REDIS_URL);
  const database = new URL(settings.DATABASE_URL);
  return [
    {
      id: 'kafka',
      title: 'Kafka',
      setting: 'KAFKA_BROKERS',
      where: splitAddress((settings.KAFKA_BROKERS.split(',')[0] ?? '').trim()),
      fitness: () => kafkaFitness(settings.KAFKA_BROKERS),
      start: (options) => startKafka({ ...options, heapMb: settings.LOCAL_KAFKA_HEAP_MB }),
    },
    {
      id: 'redis',
      title: 'Redis',
      setting: 'REDIS_URL',
      where: { host: hostOf(redis), port: Number(redis.port || 6379) },
      fitness: () => redisFitness(settings.REDIS_URL),
      start: (options) =>
        startRedis({
          ...options,
          maxmemory: settings.LOCAL_REDIS_MAXMEMORY,
          ...(redis.password ? { password: decodeURIComponent(redis.password) } : {}),
        }),
    },
    {
      id: 'postgres',
      title: 'PostgreSQL',
      setting: 'DATABASE_URL',
      where: { host: hostOf(database), port: Number(database.port || 5432) },
      fitness: () => postgresFitness(settings.DATABASE_URL),
      start: (options) =>
        startPostgres({
          ...options,
          programs: settings.LOCAL_POSTGRES_BIN,
          user: decodeURIComponent(database.username) || 'jsms',
          password: decodeURIComponent(database.password) || 'jsms',
          database: decodeURIComponent(database.pathname.slice(1)) || 'jsms',
        }),
    },
  ];
}

const addressOf = ({ where }: Wanted): string => `${where.host}:${where.port}`;

/** Whether it answers and is fit; waits for one that is coming up. Throws the sentence that says what is wrong. */
async function isThere(wanted: Wanted, { signal, say }: Context): Promise<boolean> {
  let fitness = await wanted.fitness();
  if (fitness.state === 'starting') {
    say(`${fitness.reason} Waiting for it, ${MAY_TAKE_TO_COME_UP_MS / 1_000} s at most …`);
    const settled = async () => {
      fitness = await wanted.fitness();
      return fitness.state !== 'starting';
    };
    await poll(settled, { withinMs: MAY_TAKE_TO_COME_UP_MS, everyMs: 250, signal });
  }
  if (fitness.state === 'unfit') throw new Error(fitness.reason);
  if (fitness.state === 'starting') {
    throw new Error(`${fitness.reason} End it, or give ${wanted.setting} another port.`);
  }
  return fitness.state === 'fit';
}

/** Throws when a server that does not answer cannot be started here at all. */
function mustBeStartable(wanted: Wanted, running: readonly PidRecord[]): void {
  if (!isThisMachine(wanted.where.host)) {
    throw new Error(
      `${wanted.title} does not answer at ${addressOf(wanted)} (${wanted.setting}), and it is not this machine: start it there, or unset ${wanted.setting}.`,
    );
  }
  const record = running.find(({ name }) => name === wanted.id);
  if (record) {
    throw new Error(
      `${wanted.title} runs for this DATA_DIR with another address (pid ${record.pid}) than ${wanted.setting} says: \`bun run down\` ends it.`,
    );
  }
}

/** Those to start natively in any case: their data are there. With Docker they would begin anew without a word. */
const hasNativeData = (dir: string, { id }: Wanted): boolean => existsSync(join(dir, id, 'data'));

/** Starts by Docker what has no native data. Returns what is still missing. */
async function tryDocker(missing: Wanted[], settings: LocalSettings, { say, signal }: Context): Promise<Wanted[]> {
  const candidates = missing.filter((wanted) => !hasNativeData(settings.DATA_DIR, wanted));
  if (candidates.length === 0) return missing;
  const before = candidates.find(({ id }) => composeNote(settings.DATA_DIR).includes(id));
  /** Throws where another way would begin anew without a word. */
  const dataAreElsewhere = (why: string): void => {
    if (!before) return;
    throw new Error(
      `The data of ${before.title} are in a Docker volume, and Docker ${why}: see to it, or begin anew with \`bun run up --reset\` once it runs.`,
    );
  };
  const compose = await findCompose();
  if (!compose) {
    dataAreElsewhere('does not answer');
    return missing;
  }
  const ids = candidates.map(({ id }) => id);
  say(`Starting ${candidates.map(({ title }) => title).join(', ')} by ${compose.join(' ')} …`);
  if (sharesVolumes(settings.DATA_DIR)) {
    say(
      '  Their volumes are of an older version, which shared them between all folders; `--reset` begins anew in others.',
    );
  }
  if (!(await composeUp(compose, ids, settings, signal))) {
    dataAreElsewhere('could not start it');
    say('  Docker could not start them; they are started without it.');
    return missing;
  }
  for (const wanted of candidates) {
    const fit = async () => (await wanted.fitness()).state === 'fit';
    if (await poll(fit, { withinMs: settings.START_WAIT_S * 1_000, everyMs: 250, signal })) continue;
    await composeStop(ids, settings);
    throw new Error(
      `${wanted.title} was started by Docker and is not fit; \`${forFolder(compose, settings.DATA_DIR).join(' ')} logs ${wanted.id}\` says why.`,
    );
  }
  return missing.filter((wanted) => !candidates.includes(wanted));
}

async function startNatively(
  missing: Wanted[],
  dir: string,
  { owner, say, signal: stop }: Context,
): Promise<LocalServer[]> {
  if (missing.length === 0) return [];
  say(`Starting ${missing.map(({ title }) => title).join(', ')}, data in ${dir} …`);
  const startOne = async (wanted: Wanted, signal: AbortSignal) => {
    const began = performance.now();
    const server = await wanted.start({ dir, owner, signal, progress: say, port: wanted.where.port });
    say(
      `  ${wanted.title} is ready at ${addressOf(wanted)} after ${((performance.now() - began) / 1_000).toFixed(1)} s`,
    );
    return server;
  };
  return allOrNone(
    stop,
    missing.map((wanted) => (signal: AbortSignal) => startOne(wanted, signal)),
  );
}

/**
 * Brings up what the settings name. Servers that answer already are used and never ended or reset.
 * @throws one sentence: a server that is unfit, a taken port, what is missing to start one
 */
export async function bringUp(settings: LocalSettings, context: Context): Promise<Infra> {
  const all = wantedServers(settings);
  const there = await Promise.all(all.map((wanted) => isThere(wanted, context)));
  const missing = all.filter((_, index) => !there[index]);
  const running = runningRecords(settings.DATA_DIR);
  for (const wanted of missing) mustBeStartable(wanted, running);
  const native = await tryDocker(missing, settings, context);
  const byDocker = missing.filter((wanted) => !native.includes(wanted)).map(({ id }) => id);
  const stopDocker = async () => {
    if (byDocker.length > 0) await composeStop(byDocker, settings);
  };
  let servers: LocalServer[];
  try {
    servers = await startNatively(native, settings.DATA_DIR, context);
  } catch (thrown) {
    await stopDocker();
    throw thrown;
  }
  const howOf = (wanted: Wanted): Found['how'] => {
    if (native.includes(wanted)) return 'started';
    return byDocker.includes(wanted.id) ? 'docker' : 'running';
  };
  return {
    found: all.map((wanted) => ({ id: wanted.id, title: wanted.title, where: addressOf(wanted), how: howOf(wanted) })),
    servers,
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop()));
      await stopDocker();
    },
  };
}
