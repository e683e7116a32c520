/** An account belongs to one shard; its keys carry the shard's hash tag, so that Redis Cluster works unchanged. */

/**
 * Every batch is one script call per shard that it touches, so few shards make few and large calls; more would only serve a
 * Redis Cluster of more masters. Stored keys depend on it: with another number the balances of before are not found.
 */
export const SHARDS = 4;

/** The tags of all shards, `{b00}` to `{b03}`: the one key that each script is given. */
export const TAGS: readonly string[] = Array.from({ length: SHARDS }, (_, n) => `{b${String(n).padStart(2, '0')}}`);

/** FNV-1a over the account's characters (ASCII by its pattern). Never change it: stored keys depend on it. */
export function tagOf(userId: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < userId.length; i += 1) hash = Math.imul(hash ^ userId.charCodeAt(i), 0x01000193);
  return TAGS[(hash >>> 0) % SHARDS] as string;
}
