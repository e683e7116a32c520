/**
 * The report of the simulation: report/fold.ts and report/events.ts as they are, over a table in memory in the place of
 * PostgreSQL's. A batch is folded into patches first and joined to the rows then, as upsert.ts does it in SQL, and the offsets
 * are written in the same step; receipts look for their messages as receipts.ts and unknowns.ts do.
 */
import { readFact } from '../../report/events.ts';
import type * as fold from '../../report/fold.ts';
import type { Patch } from '../../report/fold.ts';
import { Outcome } from '../../shared/billing.ts';
import type { ReceiptEvent, StatusEvent } from '../../shared/events.ts';
import type { BillingClient } from '../../shared/grpc.ts';
import type { KafkaClient } from '../../shared/kafka.ts';
import type { RecordBatch } from '../../shared/kafka-stream.ts';
import { TOPICS } from '../../shared/topics.ts';
import { after, type Process, waitAs, worldNow } from './clock.ts';
import { NEVER, type Weather } from './faults.ts';

export const READ_TOPICS = [TOPICS.express, TOPICS.normal, TOPICS.bulk, TOPICS.status, TOPICS.ledger];
/** Rarely: a history is short, and a second look finds what the first left. */
const LOOK_EVERY_MS = 5_000;
const DEADLINE_MS = 4_000;

export type Fold = Pick<
  typeof fold,
  'takesOver' | 'shownStatus' | 'addMessage' | 'addStatus' | 'addReceipt' | 'patchOf'
>;

/** What stays when the report's process dies. */
export type Table = {
  rows: Map<string, Patch>;
  ledger: Map<string, { user_id: string; amount: number }>;
  offsets: Map<string, number>;
  poison: Set<string>;
  operatorIds: Map<string, string>;
  waiting: ReceiptEvent[];
};

export const newTable = (): Table => ({
  rows: new Map(),
  ledger: new Map(),
  offsets: new Map(),
  poison: new Set(),
  operatorIds: new Map(),
  waiting: [],
});

const RANK: Readonly<Record<string, number>> = {
  queued: 0,
  retrying: 1,
  unknown: 2,
  sent: 3,
  failed: 3,
  delivered: 4,
  undelivered: 4,
};

export type ReportDeps = {
  weather: Weather;
  table: Table;
  fold: Fold;
  /** Told when a row says less, or something else, than it said before. */
  onFault: (sentence: string) => void;
};

/** What a row shows. */
export function shownOf({ shownStatus }: Fold, row: Patch): string {
  const parts = row.decision?.operator_ids.length ?? 0;
  return shownStatus(row.decision?.status ?? 'queued', row.receipts?.values() ?? [], parts);
}

/** A batch into the table: all of it or nothing. */
export function writeBatch({ table, fold, onFault }: ReportDeps, { topic, partition, records }: RecordBatch): void {
  const patches = new Map<string, Patch>();
  const patchFor = (id: string, user: string): Patch => {
    const patch = patches.get(id) ?? fold.patchOf(id, user);
    patches.set(id, patch);
    return patch;
  };
  const receipts: ReceiptEvent[] = [];
  for (const { offset, value } of records) {
    const fact = readFact({ topic, partition, offset }, value, worldNow());
    if (fact.kind === 'poison') table.poison.add(`${topic}/${partition}/${offset}`);
    else if (fact.kind === 'ledger') table.ledger.set(fact.event.transaction_id, fact.event);
    else if (fact.kind === 'receipt') receipts.push(fact.event);
    else if (fact.kind === 'message') fold.addMessage(patchFor(fact.event.id, fact.event.user_id), fact.event);
    else {
      fold.addStatus(patchFor(fact.event.id, fact.event.user_id), fact.event);
      for (const operatorId of fact.event.operator_ids)
        table.operatorIds.set(`${fact.event.operator} ${operatorId}`, fact.event.id);
    }
  }
  const waited = table.waiting;
  table.waiting = [];
  for (const receipt of [...receipts, ...waited]) {
    const id = receipt.message_id ?? table.operatorIds.get(`${receipt.operator} ${receipt.operator_id}`);
    const user = id === undefined ? undefined : (table.rows.get(id) ?? patches.get(id))?.user_id;
    if (id === undefined || user === undefined) table.waiting.push(receipt);
    else fold.addReceipt(patchFor(id, user), receipt);
  }
  for (const [id, patch] of patches) join({ table, fold, onFault }, id, patch);
  const key = `${topic}/${partition}`;
  const last = records.at(-1);
  if (last) table.offsets.set(key, Math.max(table.offsets.get(key) ?? 0, last.offset + 1));
}

function join({ table, fold, onFault }: Omit<ReportDeps, 'weather'>, id: string, patch: Patch): void {
  const row = table.rows.get(id) ?? fold.patchOf(id, patch.user_id);
  const before = shownOf(fold, row);
  const decided = row.decision?.status;
  table.rows.set(id, row);
  if (patch.message) fold.addMessage(row, patch.message);
  for (const decision of patch.decision ? [patch.decision, ...patch.others] : []) fold.addStatus(row, decision);
  for (const receipt of patch.receipts?.values() ?? []) fold.addReceipt(row, receipt);
  const now = shownOf(fold, row);
  const final = decided === 'sent' || decided === 'failed';
  if ((RANK[now] as number) < (RANK[before] as number) && !isNewer(row.decision, before))
    onFault(`message ${id}: shown as ${before}, then as ${now}`);
  if (final && row.decision?.status !== decided) onFault(`message ${id}: ${decided}, then ${row.decision?.status}`);
}

/** After an unknown that is sent again a message may be retrying: forward in its decisions, though not in rank. */
const isNewer = (decision: StatusEvent | null, before: string): boolean =>
  before === 'unknown' && decision?.status === 'retrying';

export function startReport(deps: ReportDeps, process: Process, kafka: KafkaClient, billing: BillingClient): void {
  const { weather, table } = deps;
  void kafka.stream({
    group: 'jsms-report',
    topics: READ_TOPICS,
    minBytes: 1,
    maxWaitMs: 1,
    onBatch: async (batch) => {
      while (weather.postgresAwayUntil > worldNow()) await waitAs(process, 500);
      await waitAs(process, weather.random.between(1, 50));
      if (!process.alive) return NEVER;
      // Partitions that were taken away meanwhile are others': what is written twice changes nothing.
      writeBatch(deps, batch);
      for (const { offset } of batch.records) batch.done(offset);
    },
    onAssigned: async (assigned) => {
      while (weather.postgresAwayUntil > worldNow()) await waitAs(process, 500);
      return [...assigned].flatMap(([topic, partitions]) =>
        partitions.map((partition) => ({ topic, partition, offset: table.offsets.get(`${topic}/${partition}`) ?? 0 })),
      );
    },
    onCrash: () => undefined,
  });
  const look = (): void => {
    const items = [...table.rows.values()].flatMap((row) => provenBy(row));
    if (items.length > 0 && weather.postgresAwayUntil <= worldNow())
      void billing.call('Settle', { owner: 'receipts', items, published: [] }, DEADLINE_MS).catch(() => undefined);
    after(LOOK_EVERY_MS, process, look);
  };
  after(LOOK_EVERY_MS, process, look);
}

/** An unknown, or what waits to be sent again after one, that a receipt proves to be there. */
function provenBy({ id, user_id, decision, receipts }: Patch) {
  const first = receipts?.keys().next().value;
  if (decision === null || first === undefined) return [];
  if (decision.status !== 'unknown' && decision.status !== 'retrying') return [];
  const { attempt, operator } = decision;
  const rest = { outcome: Outcome.SENT, operator, operator_ids: [first], amount: 0, error: '', flags: [] };
  return [{ user_id, message_id: id, attempt, claim: 0, ...rest }];
}
