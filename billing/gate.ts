/** The soft limits: holds are refused before they do anything when too much is in flight. Settlements never are. */
import { errorFields, type Log } from '../shared/log.ts';
import type { Redis } from '../shared/redis.ts';
import type { Shards } from './shard.ts';

const POLL_MS = 500;

export type Limits = { outboxMax: number; openMax: number; memoryMaxBytes: number };
export type Load = { outbox: number; inFlight: number; memoryBytes: number; memoryMaxBytes: number };

/** Which limit is passed, as a sentence for the log; null when none is. Pure. */
export function refusalOf(load: Load, limits: Limits): string | null {
  if (load.outbox > limits.outboxMax) return 'Kafka is behind: the outbox is full';
  if (load.inFlight > limits.openMax) return 'too many messages are in flight';
  const memoryMax = limits.memoryMaxBytes || load.memoryMaxBytes * 0.75;
  if (memoryMax > 0 && load.memoryBytes > memoryMax) return 'the memory of Redis is nearly full';
  return null;
}

const infoNumber = (info: string, field: string): number =>
  Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);

export async function readLoad(redis: Redis, { tags }: Shards): Promise<Load> {
  const [info, ...counts] = await Promise.all([
    redis.info('memory'),
    ...tags.map((tag) => redis.zcard(`${tag}:outbox`)),
    ...tags.map((tag) => redis.zcard(`${tag}:due`)),
  ]);
  const sum = (list: number[]): number => list.reduce((total, n) => total + n, 0);
  return {
    outbox: sum(counts.slice(0, tags.length)),
    inFlight: sum(counts.slice(tags.length)),
    memoryBytes: infoNumber(info, 'used_memory'),
    memoryMaxBytes: infoNumber(info, 'maxmemory'),
  };
}

export type Gate = { refusal(): string | null; load(): Load; close(): void };

/** Watches the load; when Redis does not answer, the last state stands and the hold itself finds out. */
export function openGate(redis: Redis, shards: Shards, limits: Limits, log: Log): Gate {
  let load: Load = { outbox: 0, inFlight: 0, memoryBytes: 0, memoryMaxBytes: 0 };
  let refusal: string | null = null;
  let busy = false;
  const look = async (): Promise<void> => {
    if (busy || redis.status !== 'ready') return;
    busy = true;
    try {
      load = await readLoad(redis, shards);
      const now = refusalOf(load, limits);
      if (now !== refusal) log.warn(now === null ? 'holds_taken_again' : 'holds_refused', { reason: now, ...load });
      refusal = now;
    } catch (thrown) {
      log.debug('load_unknown', errorFields(thrown));
    } finally {
      busy = false;
    }
  };
  void look();
  const timer = setInterval(() => void look(), POLL_MS);
  return { refusal: () => refusal, load: () => load, close: () => clearInterval(timer) };
}
