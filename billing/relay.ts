/** Relay: what was accepted and perhaps never produced, to the gateway that looks after it. */
import type { RelayReply, RelayRequest } from '../shared/billing.ts';
import { AppError } from '../shared/error.ts';
import { isInstant } from './messages.ts';
import type { Scripts } from './scripts.ts';

/** How long a gateway keeps a shard of the outbox for itself; it asks again well before. */
const RELAY_LEASE_MS = 5_000;

type Boxed = { dueAt: number; event: string };

/**
 * Hands out messages whose production nobody confirmed, from the shards that `owner` has or gets the lease of, in the order in
 * which they were due: as far as every shard's answer goes, so that no shard's newer ones go before another's older ones.
 * @param request.max about how many; those that were due at one instant are not parted
 */
export async function relay(scripts: Scripts, { owner, max, after, by }: RelayRequest): Promise<RelayReply> {
  if (!isInstant(after) || !isInstant(by)) throw new AppError('invalid_request', 'A relay needs two instants.');
  const { tags } = scripts.shards;
  const most = Math.max(1, Math.ceil(max / tags.length));
  const answers = await Promise.all(tags.map((tag) => scripts.relay(tag, owner, RELAY_LEASE_MS, most, after, by)));
  const found: Boxed[] = [];
  let reached = Number.POSITIVE_INFINITY;
  let more = false;
  for (const answer of answers as (string[] | null)[]) {
    if (answer === null) continue;
    reached = Math.min(reached, Number(answer[0]));
    more ||= answer[1] === '1';
    for (let i = 2; i < answer.length; i += 2) found.push({ dueAt: Number(answer[i]), event: answer[i + 1] as string });
  }
  if (reached === Number.POSITIVE_INFINITY) return { events: [], reached: after, more: false };
  found.sort((a, b) => a.dueAt - b.dueAt);
  const last = found[max - 1];
  if (last && last.dueAt < reached) {
    reached = last.dueAt;
    more = true;
  }
  return {
    events: found.filter(({ dueAt }) => dueAt <= reached).map(({ event }) => event),
    reached,
    more,
  };
}
