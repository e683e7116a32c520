/** An account belongs to one shard; its keys carry the shard's hash tag, so that Redis Cluster works unchanged. */

export const SHARDS = 16;

/** The tags of all shards, `{b00}` to `{b15}`: the one key that each script is given. */
export const TAGS: readonly string[] = Array.from({ length: SHARDS }, (_, n) => `{b${String(n).padStart(2, '0')}}`);

/** FNV-1a over the account's characters (ASCII by its pattern). Never change it: stored keys depend on it. */
export function tagOf(userId: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < userId.length; i += 1) hash = Math.imul(hash ^ userId.charCodeAt(i), 0x01000193);
  return TAGS[(hash >>> 0) % SHARDS] as string;
}
