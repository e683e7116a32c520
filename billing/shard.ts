/** An account belongs to one shard; its keys carry the shard's hash tag, so that Redis Cluster works unchanged. */
import { ConfigError } from '../shared/config.ts';
import type { Redis } from '../shared/redis.ts';

export type Shards = {
  /** `{b00}`, `{b01}` and so on: the one key that each script is given. */
  readonly tags: readonly string[];
  /** The tag of an account's shard. Never change it: stored keys depend on it. */
  tagOf(userId: string): string;
};

/**
 * Every batch is one script call per shard that it touches: one Redis is quickest with one shard, and more only serve a Redis
 * Cluster, of as many masters at most.
 */
export const SHARDS_DEFAULT = 1;
export const SHARDS_MAX = 16;

/** FNV-1a over the account's characters (ASCII by its pattern). */
function hashOf(userId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < userId.length; i += 1) hash = Math.imul(hash ^ userId.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** @param count 1 to SHARDS_MAX */
export function createShards(count: number): Shards {
  const tags = Array.from({ length: count }, (_, n) => `{b${String(n).padStart(2, '0')}}`);
  return { tags, tagOf: (userId) => tags[hashOf(userId) % count] as string };
}

const MARK = '{b00}:shards';
/** What balances had whose Redis bears no mark, and their accounts that one shard would not find. */
const UNMARKED = 4;
const UNMARKED_ACCOUNTS = '{b0[1-3]}:a:*';

async function hasUnmarkedAccounts(redis: Redis): Promise<boolean> {
  let cursor = '0';
  do {
    const [next, found] = await redis.scan(cursor, 'MATCH', UNMARKED_ACCOUNTS, 'COUNT', 10_000);
    if (found.length > 0) return true;
    cursor = next;
  } while (cursor !== '0');
  return false;
}

/**
 * Marks the balances with their number of shards, and checks that it is this one: with another the balances of before are not
 * found, and accounts would be empty.
 * @throws ConfigError when they were begun with another
 */
export async function requireShards(redis: Redis, { tags }: Shards): Promise<void> {
  if ((await redis.exists(MARK)) === 0) {
    await redis.setnx(MARK, (await hasUnmarkedAccounts(redis)) ? UNMARKED : tags.length);
  }
  const begun = await redis.get(MARK);
  if (begun === String(tags.length)) return;
  throw new ConfigError([
    `BILLING_SHARDS is ${tags.length}, and the balances in this Redis were begun with ${begun}: set it to ${begun}, or let REDIS_URL name a Redis without balances.`,
  ]);
}
