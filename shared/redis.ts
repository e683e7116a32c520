/**
 * Redis through ioredis, with the settings that keep money exact: a command whose reply was lost is never sent again by the
 * client (with ioredis' defaults one DECRBY 10 took 20), and nothing waits in an offline queue.
 */
import { Redis } from 'ioredis';
import { AppError } from './error.ts';
import { errorFields, type Log } from './log.ts';

export type { Redis } from 'ioredis';

/** After this long without a reply the outcome counts as unknown, milliseconds. */
const COMMAND_TIMEOUT_MS = 5_000;

export function connectRedis(url: string, log: Log): Redis {
  const redis = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: 2_000,
    enableAutoPipelining: true,
    keepAlive: 5_000,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 6), 2_000),
  });
  let lastError = '';
  redis.on('error', (thrown: Error) => {
    if (thrown.message === lastError) return;
    lastError = thrown.message;
    log.warn('redis_error', errorFields(thrown));
  });
  redis.on('ready', () => {
    lastError = '';
  });
  return redis;
}

/** Connects if need be; throws while Redis does not answer. */
export async function connected(redis: Redis): Promise<void> {
  if (redis.status === 'wait' || redis.status === 'end') await redis.connect();
  await redis.ping();
}

/** Connects and checks that this Redis keeps what it acknowledges; throws one sentence that says what is wrong. */
export async function requireDurable(redis: Redis): Promise<void> {
  await connected(redis);
  const settings = new Map<string, string>();
  for (const name of ['appendonly', 'appendfsync', 'maxmemory-policy']) {
    const answer = (await redis.config('GET', name)) as string[];
    settings.set(name, answer[1] ?? '');
  }
  const wanted = { appendonly: 'yes', appendfsync: 'always', 'maxmemory-policy': 'noeviction' };
  for (const [name, value] of Object.entries(wanted)) {
    if (settings.get(name) !== value) {
      throw new NotDurable(
        `Redis has ${name} ${settings.get(name) || 'unset'}, but money needs ${name} ${value}: set it in redis.conf`,
      );
    }
  }
}

/** This Redis would lose what it acknowledged: waiting does not mend it. */
export class NotDurable extends Error {}

type ScriptRunner = (key: string, ...args: (string | number)[]) => Promise<unknown>;

/**
 * Makes a script a function of its one key and its arguments. It goes by its hash and is loaded again by itself when Redis
 * forgot it. A failure to reach Redis before anything was sent is `unavailable`; any other failure may have had its effect.
 */
export function defineScript(redis: Redis, name: string, lua: string): ScriptRunner {
  redis.defineCommand(name, { numberOfKeys: 1, lua });
  const run = (redis as unknown as Record<string, ScriptRunner>)[name] as ScriptRunner;
  return (key, ...args) => {
    if (redis.status !== 'ready')
      return Promise.reject(new AppError('unavailable', 'The balances cannot be reached at the moment.'));
    return run.call(redis, key, ...args);
  };
}
