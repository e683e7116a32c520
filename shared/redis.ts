/**
 * Redis through ioredis, with the settings that keep money exact: a command whose reply was lost is never sent again by the
 * client (with ioredis' defaults one DECRBY 10 took 20), and nothing waits in an offline queue.
 */
import { Redis } from 'ioredis';
import { ConfigError } from './config.ts';
import { AppError } from './error.ts';
import { errorFields, type Log } from './log.ts';

export type { Redis } from 'ioredis';

/** After this long without a reply the outcome counts as unknown, milliseconds. */
const COMMAND_TIMEOUT_MS = 5_000;
/** After this long without any byte while something is asked for, the connection is given up: its peer may be gone for good. */
const SOCKET_TIMEOUT_MS = 10_000;

/** Why a connection does not stand: what is thrown then says only that it does not. */
const lastErrors = new WeakMap<Redis, string>();

/** @param ca authorities in PEM that vouch for a `rediss://` server, in place of the system's */
export function connectRedis(url: string, log: Log, ca: string | null = null): Redis {
  const redis = new Redis(url, {
    ...(ca !== null && new URL(url).protocol === 'rediss:' ? { tls: { ca } } : {}),
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: 2_000,
    socketTimeout: SOCKET_TIMEOUT_MS,
    enableAutoPipelining: true,
    keepAlive: 5_000,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 6), 2_000),
  });
  redis.on('error', (thrown: Error) => {
    if (thrown.message === lastErrors.get(redis)) return;
    lastErrors.set(redis, thrown.message);
    log.warn('redis_error', errorFields(thrown));
  });
  redis.on('ready', () => lastErrors.delete(redis));
  return redis;
}

/** Connects if need be; throws while Redis does not answer, and a ConfigError when it wants another login. */
export async function connected(redis: Redis): Promise<void> {
  try {
    if (redis.status === 'wait' || redis.status === 'end') await redis.connect();
    await redis.ping();
  } catch (thrown) {
    const reason = `${(thrown as Error).message} ${lastErrors.get(redis) ?? ''}`;
    if (!/NOAUTH|WRONGPASS|invalid password/i.test(reason)) throw thrown;
    throw new NotDurable('Redis wants another password: REDIS_URL names it as redis://:password@host:port');
  }
}

/**
 * Connects and checks that this Redis keeps what it acknowledges; throws NotDurable with one sentence that says what is wrong,
 * or whatever came while Redis did not answer.
 */
export async function requireDurable(redis: Redis): Promise<void> {
  const refused = (thrown: unknown): never => {
    if (/NOPERM|unknown command/i.test((thrown as Error).message))
      throw new NotDurable(
        'Redis does not let CONFIG GET be asked, so nobody can say whether it keeps what it acknowledges',
      );
    throw thrown;
  };
  await connected(redis);
  const settings = new Map<string, string>();
  for (const name of ['appendonly', 'appendfsync', 'maxmemory-policy']) {
    const answer = (await redis.config('GET', name).catch(refused)) as string[];
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

/** This Redis would lose what it acknowledged, or does not let us in: waiting does not mend it. */
export class NotDurable extends ConfigError {
  constructor(problem: string) {
    super([problem]);
  }
}

export type ScriptRunner = (key: string, ...args: (string | number | Buffer)[]) => Promise<unknown>;

/**
 * What Redis refuses before a script has written anything; 6.2 wraps it into a sentence of its own. At maxmemory a script's
 * first write is refused or none is.
 */
const REFUSED =
  /(^|[ -])(OOM command not allowed|LOADING |READONLY |MISCONF |BUSY Redis|CLUSTERDOWN |MASTERDOWN |NOREPLICAS |NOAUTH )/;

/**
 * Makes a script a function of its one key and its arguments. It goes by its hash and is loaded again by itself when Redis
 * forgot it. What was never sent, or refused before its first write, is `unavailable`; any other failure may have had its effect.
 */
export function defineScript(redis: Redis, name: string, lua: string): ScriptRunner {
  redis.defineCommand(name, { numberOfKeys: 1, lua });
  const run = (redis as unknown as Record<string, ScriptRunner>)[name] as ScriptRunner;
  return (key, ...args) => {
    if (redis.status !== 'ready')
      return Promise.reject(new AppError('unavailable', 'The balances cannot be reached at the moment.'));
    return run.call(redis, key, ...args).catch((thrown: unknown) => {
      if (!(thrown instanceof Error && REFUSED.test(thrown.message))) throw thrown;
      throw new AppError('unavailable', 'The balances cannot be changed at the moment.', { cause: thrown });
    });
  };
}
