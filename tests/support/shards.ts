/**
 * The shards of every test's balances: several, since what goes wrong in one must not go wrong in another.
 * BILLING_SHARDS overrides it for the campaign; the suite has tests that need four.
 */
import { createShards } from '../../billing/shard.ts';

export const SHARD_COUNT = Number(process.env.BILLING_SHARDS || 4);
export const SHARDS = createShards(SHARD_COUNT);
export const { tags: TAGS, tagOf } = SHARDS;
