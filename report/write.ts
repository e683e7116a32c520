/**
 * One batch of facts, one transaction: rows, totals, dead letters, ledger, poison and the offsets of what was read, so that a
 * crash at any point re-reads what was not written and nothing else. The commit is waited for until it is on the disk: a
 * PostgreSQL that crashed would lose it otherwise, and this process, which goes on behind it, would never read it again.
 */
import type { LedgerEvent, ReceiptEvent, StatusEvent } from '../shared/events.ts';
import { idTimeMs } from '../shared/id.ts';
import type { Sql } from '../shared/postgres.ts';
import { copyMessages, type Fresh, isFresh, NotCopied } from './copy.ts';
import type { Fact } from './events.ts';
import { addMessage, addReceipt, addStatus, type Patch, patchOf } from './fold.ts';
import type { Days } from './partitions.ts';
import {
  countReceipts,
  learnOperatorIds,
  type Match,
  type Matched,
  matchReceipts,
  type ReceiptCounts,
  reclaim,
} from './receipts.ts';
import { upsertMessages } from './upsert.ts';

const DAY_MS = 86_400_000;
const POISON_KEPT_BYTES = 4_096;

export type Writer = {
  sql: Sql;
  days: Days;
  timeZone: string;
  receiptsDays: number;
  deadLetterDays: number;
  now: () => number;
  /** Epoch milliseconds until which nothing is copied: rows were there already, so a topic is read again. */
  mergesUntilMs: number;
};

/** A batch of what is read again is written in vain first; after one, so long each is merged at once. */
const MERGES_FOR_MS = 10_000;

/** What a write did, for the counters. */
export type Written = {
  rows: number;
  receipts: ReceiptCounts;
  poison: number;
  /** Events of messages whose day was dropped. */
  expired: number;
};

/** A partition is written up to here: the offset of the first record that may not be. */
export type Reached = { topic: string; partition: number; next: number };

type Batch = {
  patches: Map<string, Patch>;
  statuses: StatusEvent[];
  receipts: ReceiptEvent[];
  ledger: LedgerEvent[];
  poison: (Fact & { kind: 'poison' })[];
  expired: number;
};

function patchFor(patches: Map<string, Patch>, id: string, userId: string): Patch {
  let patch = patches.get(id);
  if (!patch) {
    patch = patchOf(id, userId);
    patches.set(id, patch);
  }
  return patch;
}

/** Sorts facts by what they are for; events of dropped days are counted and passed by. Pure. */
function sortFacts(facts: readonly Fact[], droppedBeforeMs: number): Batch {
  const batch: Batch = {
    patches: new Map(),
    statuses: [],
    receipts: [],
    ledger: [],
    poison: [],
    expired: 0,
  };
  for (const fact of facts) {
    if (fact.kind === 'ledger') batch.ledger.push(fact.event);
    else if (fact.kind === 'poison') batch.poison.push(fact);
    else if (fact.kind === 'receipt') batch.receipts.push(fact.event);
    else if (idTimeMs(fact.event.id) < droppedBeforeMs) batch.expired += 1;
    else if (fact.kind === 'message')
      addMessage(patchFor(batch.patches, fact.event.id, fact.event.user_id), fact.event);
    else {
      addStatus(patchFor(batch.patches, fact.event.id, fact.event.user_id), fact.event);
      batch.statuses.push(fact.event);
    }
  }
  return batch;
}

const inOrder = (patches: Map<string, Patch>): Patch[] =>
  [...patches.values()].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));

/** Joins matched receipts to the patches; doubled ones write nothing. */
function joinReceipts(patches: Map<string, Patch>, matches: readonly Match[]): void {
  for (const { receipt, message_id, user_id, doubled } of matches) {
    if (!doubled) addReceipt(patchFor(patches, message_id, user_id as string), receipt);
  }
}

async function writeLedger(tx: Sql, entries: readonly LedgerEvent[], timeZone: string): Promise<void> {
  const of = <K extends keyof LedgerEvent>(name: K) => entries.map((entry) => entry[name] ?? null);
  await tx.unsafe(
    `WITH added AS (
      INSERT INTO ledger_entries (transaction_id, user_id, day, kind, amount, reason, at)
      SELECT transaction_id, user_id, (to_timestamp(at_ms::float8 / 1000) AT TIME ZONE $7)::date, kind, amount, reason,
        to_timestamp(at_ms::float8 / 1000)
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[])
        AS e (transaction_id, user_id, kind, amount, reason, at_ms)
      ON CONFLICT DO NOTHING RETURNING user_id, day, amount
    )
    INSERT INTO ledger_totals AS t (user_id, day, entries, amount)
    SELECT user_id, day, count(*), sum(amount) FROM added GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (user_id, day) DO UPDATE SET entries = t.entries + excluded.entries, amount = t.amount + excluded.amount`,
    [of('transaction_id'), of('user_id'), of('kind'), of('amount'), of('reason'), of('at'), timeZone] as never[],
    { prepare: true },
  );
}

/** A dead letter that was discarded or replayed stays as it is when its event comes again. */
async function writeDeadLetters(tx: Sql, dead: readonly StatusEvent[]): Promise<void> {
  const of = <K extends keyof StatusEvent>(name: K) => dead.map((event) => event[name] ?? null);
  await tx.unsafe(
    `INSERT INTO dead_letters (id, user_id, operator, attempts, error, died_at)
    SELECT id, user_id, operator, attempts, error, to_timestamp(at_ms::float8 / 1000)
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::bigint[])
      AS d (id, user_id, operator, attempts, error, at_ms)
    ON CONFLICT DO NOTHING`,
    [of('id'), of('user_id'), of('operator'), of('attempt'), of('error'), of('at')] as never[],
    { prepare: true },
  );
}

async function writePoison(tx: Sql, poison: Batch['poison']): Promise<void> {
  await tx.unsafe(
    `INSERT INTO poison_records (topic, partition, "offset", reason, size, value, at)
    SELECT topic, partition, "offset", reason, size, decode(value, 'hex'), now()
    FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::int[], $6::text[])
      AS p (topic, partition, "offset", reason, size, value)
    ON CONFLICT DO NOTHING`,
    [
      poison.map(({ topic }) => topic),
      poison.map(({ partition }) => partition),
      poison.map(({ offset }) => offset),
      poison.map(({ reason }) => reason),
      poison.map(({ value }) => value?.length ?? 0),
      poison.map(({ value }) => (value ?? Buffer.alloc(0)).subarray(0, POISON_KEPT_BYTES).toString('hex')),
    ] as never[],
  );
}

async function writeOffsets(tx: Sql, reached: readonly Reached[]): Promise<void> {
  const rows = [...reached].sort((a, b) =>
    a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1,
  );
  // Never backwards: a writer whose partition was taken away may come late.
  await tx.unsafe(
    `INSERT INTO consumer_offsets AS o (topic, partition, next_offset) SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])
    ON CONFLICT (topic, partition) DO UPDATE SET next_offset = greatest(o.next_offset, excluded.next_offset)`,
    [rows.map((row) => row.topic), rows.map((row) => row.partition), rows.map((row) => row.next)] as never[],
    { prepare: true },
  );
}

/**
 * Writes one batch of facts.
 * @param reached where the partitions stand with it
 * @throws what PostgreSQL throws: nothing was written then, or (the connection was lost) perhaps all of it, and writing it
 * again changes nothing
 */
export async function writeFacts(
  writer: Writer,
  facts: readonly Fact[],
  reached: readonly Reached[],
): Promise<Written> {
  const instants: number[] = [];
  for (const fact of facts)
    if (fact.kind === 'message' || fact.kind === 'status') instants.push(idTimeMs(fact.event.id));
  const droppedBeforeMs = await writer.days.ensure(instants);
  // Sorted anew for each try: receipts are joined to what is sorted.
  const write = (copies: boolean) => writeBatch(writer, sortFacts(facts, droppedBeforeMs), reached, copies);
  try {
    return await write(writer.now() >= writer.mergesUntilMs);
  } catch (thrown) {
    if (!(thrown instanceof NotCopied)) throw thrown;
    writer.mergesUntilMs = writer.now() + MERGES_FOR_MS;
    return await write(false);
  }
}

async function writeBatch(
  { sql, days, timeZone, now, receiptsDays, deadLetterDays }: Writer,
  batch: Batch,
  reached: readonly Reached[],
  copies: boolean,
): Promise<Written> {
  const { patches, statuses, ledger, poison } = batch;
  const nowMs = now();
  const dead = statuses.filter((event) => event.dead && event.at >= nowMs - deadLetterDays * DAY_MS);
  const counts = await sql.begin(async (begun) => {
    const tx = begun as unknown as Sql;
    const steps: Promise<unknown>[] = [
      tx`SELECT set_config('synchronous_commit', 'on', true), set_config('plan_cache_mode', 'force_generic_plan', true)`.execute(),
    ];
    const found = await findMatches(tx, batch, nowMs - receiptsDays * DAY_MS);
    joinReceipts(patches, found.matches);
    const fresh: Fresh[] = [];
    const rest: Patch[] = [];
    for (const patch of inOrder(patches)) {
      if (copies && isFresh(patch)) fresh.push(patch);
      else rest.push(patch);
    }
    const copied = await copyMessages(tx, fresh, days);
    // Sent without waiting for each other's answers: they go to the server as one flight.
    steps.push(upsertMessages(tx, rest, timeZone, copied));
    if (ledger.length > 0) steps.push(writeLedger(tx, ledger, timeZone));
    if (dead.length > 0) steps.push(writeDeadLetters(tx, dead));
    if (poison.length > 0) steps.push(writePoison(tx, poison));
    if (reached.length > 0) steps.push(writeOffsets(tx, reached));
    await Promise.all(steps);
    return countReceipts(found);
  });
  return { receipts: counts, rows: patches.size, poison: poison.length, expired: batch.expired };
}

/** Asks for nothing where the batch has neither messages nor receipts. */
async function findMatches(tx: Sql, batch: Batch, receiptsFromMs: number): Promise<Matched> {
  const { patches, statuses, receipts } = batch;
  const waited = patches.size > 0 ? await learnOperatorIds(tx, statuses, [...patches.keys()], receiptsFromMs) : [];
  return matchReceipts(tx, receipts, waited, new Set(patches.keys()));
}

/** Joins receipts and messages that two writers brought at one moment, unseen by each other. */
export async function joinLateMatches(writer: Writer): Promise<Written> {
  const patches = new Map<string, Patch>();
  const counts = await writer.sql.begin(async (begun) => {
    const tx = begun as unknown as Sql;
    const waited = await reclaim(tx);
    const found = await matchReceipts(tx, [], waited, new Set());
    joinReceipts(patches, found.matches);
    await upsertMessages(tx, inOrder(patches), writer.timeZone);
    return countReceipts(found);
  });
  return { receipts: counts, rows: patches.size, poison: 0, expired: 0 };
}
