/**
 * The one Redis of a history and the processes' connections to it: billing's own scripts run in it, over the simulated clock.
 * A call may be refused before any effect, run after its caller gave it up, or lose its answer.
 */
import { loadScripts, type Scripts, type Times } from '../../billing/scripts.ts';
import type { Redis } from '../../shared/redis.ts';
import { SHARDS } from '../support/shards.ts';
import { after, currentProcess, type Process, WORLD, worldNow } from './clock.ts';
import { NEVER, survives, type Weather } from './faults.ts';
import { compileLua, type Script } from './lua.ts';
import { argumentOf } from './lua-runtime.ts';
import { createMemoryRedis, type MemoryRedis, type Reply } from './memory-redis.ts';

const COMMAND_TIMEOUT_MS = 5_000;
const POLLS: ReadonlySet<string> = new Set(['jsms_sweep', 'jsms_relay']);
/** Scripts whose first write needs memory: a full Redis refuses them before any effect. */
const NEEDS_MEMORY: ReadonlySet<string> = new Set(['jsms_hold', 'jsms_topup']);

export type SimulatedRedis = {
  memory: MemoryRedis;
  /** Redis' own clock is off by this, milliseconds. */
  jump(ms: number): void;
  now(): number;
  connect(process: Process): Redis;
};

export type RedisOptions = {
  weather: Weather;
  /** Told after each script has run. */
  onScript: (name: string, tag: string, args: readonly string[]) => void;
};

type Runner = (name: string, script: Script, tag: string, args: readonly unknown[]) => Promise<Reply>;

/** The history's own, for the scripts that all histories of a run share. */
let memoryNow: MemoryRedis;
let runNow: Runner;
let statusNow: () => string;

/**
 * Billing's scripts, read and compiled once a run. Whoever calls one in its turn is the process whose connection is used.
 * @param patch a script as it is, or with a planted bug
 */
export function compileScripts(times: Times, patch: (name: string, lua: string) => string): Scripts {
  const connection: Record<string, unknown> = {
    get status() {
      return statusNow();
    },
    defineCommand: (name: string, { lua }: { lua: string }) => {
      const script = compileLua(patch(name, lua), (command, args) => memoryNow.call(command, args));
      connection[name] = (tag: string, ...args: unknown[]) => runNow(name, script, tag, args);
    },
  };
  return loadScripts(connection as unknown as Redis, SHARDS, times);
}

export function createRedis({ weather, onScript }: RedisOptions): SimulatedRedis {
  const { random } = weather;
  const used = new Set<string>();
  let offsetMs = 0;
  const now = (): number => worldNow() + offsetMs;
  const memory = createMemoryRedis(now);
  memoryNow = memory;
  statusNow = () => (weather.redisAwayUntil > worldNow() ? 'reconnecting' : 'ready');

  const exchange = (process: Process, run: () => Reply, needsMemory: boolean): Promise<Reply> => {
    const { faults } = weather;
    if (!process.alive) return NEVER;
    if (random.chance(faults.redisRefused)) return Promise.reject(new Error('LOADING Redis is loading the dataset'));
    if (needsMemory && random.chance(faults.redisFull))
      return Promise.reject(new Error("OOM command not allowed when used memory > 'maxmemory'."));
    if (random.chance(faults.redisLate)) return late(process, run, random.between(200, 9_000));
    const reply = run();
    if (!survives(weather, process)) return NEVER;
    if (random.chance(faults.redisAnswerLost)) return failAfter(process, random.between(1, COMMAND_TIMEOUT_MS));
    // Most answers come in the same turn: what may happen between a script and its answer happens in the others.
    if (random.chance(0.7)) return Promise.resolve(reply);
    return new Promise((resolve) => void after(random.between(1, 20), process, () => resolve(reply)));
  };
  const failAfter = (process: Process, ms: number): Promise<Reply> =>
    new Promise((_, reject) => void after(ms, process, () => reject(new Error('Command timed out'))));
  const late = (process: Process, run: () => Reply, ms: number): Promise<Reply> =>
    new Promise((resolve, reject) => {
      after(ms, WORLD, () => {
        const reply = run();
        if (ms < COMMAND_TIMEOUT_MS) after(1, process, () => resolve(reply));
      });
      if (ms >= COMMAND_TIMEOUT_MS) after(COMMAND_TIMEOUT_MS, process, () => reject(new Error('Command timed out')));
    });

  const connect = (process: Process): Redis => {
    const command =
      (name: string) =>
      (...args: unknown[]): Promise<Reply> =>
        exchange(process, () => memory.call(name, args.map(String)), false);
    const connection = {
      get status() {
        return statusNow();
      },
      hlen: command('HLEN'),
      hdel: command('HDEL'),
      hmget: command('HMGET'),
      hscan: (key: string) => exchange(process, () => ['0', memory.call('HGETALL', [key])], false),
    };
    return connection as unknown as Redis;
  };
  runNow = (name, script, tag, args) => {
    // What sweeps and relays asks all shards, of which a history has a few.
    if (POLLS.has(name) && !used.has(tag)) return Promise.resolve(null);
    used.add(tag);
    const run = (): Reply => {
      const texts = args.map(argumentOf);
      const reply = script([tag], texts);
      onScript(name, tag, texts);
      return reply;
    };
    return exchange(currentProcess(), run, NEEDS_MEMORY.has(name));
  };
  return {
    memory,
    now,
    connect,
    jump: (ms) => {
      offsetMs += ms;
    },
  };
}
