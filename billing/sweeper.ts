/**
 * The sweeper: looks at every record whose time has come and at every ledger entry that nobody confirmed. One replica sweeps
 * a shard, by a lease in Redis; a replica that dies loses it within seconds.
 */

import type { LedgerEvent } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
import { idTimeMs } from '../shared/id.ts';
import type { Producer } from '../shared/kafka-producer.ts';
import { errorFields, type Log } from '../shared/log.ts';
import type { Redis } from '../shared/redis.ts';
import { startRounds } from '../shared/rounds.ts';
import { TOPICS } from '../shared/topics.ts';
import { type Publication, publicationOf, type RecordFields, STATUS } from './outcome.ts';
import { answersOf, type Scripts } from './scripts.ts';

const LEASE_MS = 5_000;
const BATCH = 500;
/** A ledger entry younger than this is still on its first way to Kafka. */
const LEDGER_AFTER_MS = 3_000;

export type SweeperDeps = {
  redis: Redis;
  scripts: Scripts;
  producer: Producer;
  owner: string;
  everyMs: number;
  log: Log;
  /** Told how many records were swept into publication. */
  onSwept: (count: number) => void;
};

/** So many of what a round ended are logged by their ids, the rest by their count: a day without Kafka may end a hundred thousand. */
const NAMED_PER_ROUND = 20;

type Swept = [head: [id: string, ended: 0 | 1], ...RecordFields];
type Endings = { note(swept: readonly Swept[]): void; sum(): void };

/** What one round decided or made unknown by itself: nobody else would tell of it. */
function logEndings(log: Log): Endings {
  let named = 0;
  const unnamed: Record<string, number> = {};
  return {
    note: (swept) => {
      for (const [[message_id, ended], state, , , , , , reason] of swept) {
        if (ended === 0) continue;
        const status = STATUS[state];
        if (named < NAMED_PER_ROUND) log.info('record_swept', { message_id, status, reason });
        else unnamed[reason] = (unnamed[reason] ?? 0) + 1;
        named += 1;
      }
    },
    sum: () => {
      if (named > NAMED_PER_ROUND) log.info('more_records_swept', unnamed);
    },
  };
}

/** Publishes an outcome, and the retry that may go with it, and waits until Kafka has both. */
export async function publish(producer: Producer, { outcome, retry, retryNumber }: Publication): Promise<void> {
  const status = producer.send({ topic: TOPICS.status, value: outcome });
  if (retry === '') return status;
  // Any slot's partitions carry any message: the dispatcher routes by the message itself.
  await Promise.all([status, producer.send({ topic: TOPICS.dlq, value: retry, slot: 0, retry: retryNumber })]);
}

/** Publishes a ledger entry and drops it from the outbox. */
export async function publishLedger(
  redis: Redis,
  producer: Producer,
  tag: string,
  id: string,
  value: string,
): Promise<void> {
  await producer.send({ topic: TOPICS.ledger, value });
  failpoint('billing.topup_after_publish');
  await redis.hdel(`${tag}:ledger`, id);
}

async function sweepRecords(deps: SweeperDeps, endings: Endings, tag: string): Promise<boolean> {
  const reply = await deps.scripts.sweep(tag, deps.owner, LEASE_MS, BATCH);
  if (reply === null) return false;
  const found = answersOf<Swept>(reply);
  if (found.length > 0) failpoint('billing.sweep_after_script');
  endings.note(found);
  const confirmed: [id: string, version: number][] = [];
  const published = await Promise.allSettled(
    found.map(async ([[id], ...fields]) => {
      const publication = publicationOf(id, fields);
      if (publication === null) return;
      await publish(deps.producer, publication);
      confirmed.push([id, publication.confirm]);
    }),
  );
  if (confirmed.length > 0) failpoint('billing.sweep_after_publish');
  if (confirmed.length > 0) await deps.scripts.confirm(tag, JSON.stringify(confirmed.flat()));
  deps.onSwept(confirmed.length);
  // While Kafka is away one batch a round is enough: what was handed out comes again by itself.
  const failed = published.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
  await sweepLedger(deps, tag);
  return found.length === BATCH;
}

async function sweepLedger({ redis, producer }: SweeperDeps, tag: string): Promise<void> {
  if ((await redis.hlen(`${tag}:ledger`)) === 0) return;
  const [, entries] = await redis.hscan(`${tag}:ledger`, 0, 'COUNT', BATCH);
  const pairs = entries.flatMap((id, i) => (i % 2 === 0 ? [[id, entries[i + 1] as string] as const] : []));
  const old = pairs.filter(([id]) => Math.abs(Date.now() - idTimeMs(id)) > LEDGER_AFTER_MS);
  await Promise.all(old.map(([id, event]) => publishLedger(redis, producer, tag, id, event)));
}

/** Sweeps all shards every `everyMs` until closed. */
export function startSweeper(deps: SweeperDeps): { close(): Promise<void> } {
  const sweepShard = async (tag: string, endings: Endings, closed: () => boolean): Promise<void> => {
    try {
      while (!closed() && (await sweepRecords(deps, endings, tag)));
    } catch (thrown) {
      deps.log.warn('sweep_failed', errorFields(thrown));
    }
  };
  const round = async (closed: () => boolean): Promise<void> => {
    if (deps.redis.status !== 'ready') return;
    const endings = logEndings(deps.log);
    await Promise.all(deps.scripts.shards.tags.map((tag) => sweepShard(tag, endings, closed)));
    endings.sum();
  };
  return startRounds(round, deps.everyMs);
}

/** A publisher of ledger entries for accounts.ts: at once, and left to the sweeper when Kafka does not take it. */
export function ledgerPublisher(redis: Redis, producer: Producer, log: Log): (tag: string, event: LedgerEvent) => void {
  return (tag, event) => {
    publishLedger(redis, producer, tag, event.transaction_id, JSON.stringify(event)).catch((thrown) =>
      log.warn('ledger_publish_failed', { transaction_id: event.transaction_id, ...errorFields(thrown) }),
    );
  };
}
