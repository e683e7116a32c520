/**
 * Rows of messages that are new, by COPY: of a message whose `queued` event and outcome come in one batch no row is there yet, but for
 * topics that are read again, so most rows need no merging. Copied as bytes and without a look for a row that is there, they cost
 * PostgreSQL two thirds of what the upsert does (docs/decisions/0021).
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { MessageEvent, StatusEvent } from '../shared/events.ts';
import { idTimeMs } from '../shared/id.ts';
import type { Sql } from '../shared/postgres.ts';
import { createBinaryRows } from './binary-rows.ts';
import { kindOf } from './column-kinds.ts';
import type { Patch } from './fold.ts';
import type { Days } from './partitions.ts';
import { operatorOf, statusOf, WHOLE } from './patch-columns.ts';
import { isException } from './schema.ts';

/** A row is there already, or a value does not fit: nothing of the transaction counts, and the upsert says what is right. */
export class NotCopied extends Error {}

/** What messages of one account, day, operator, type and status add to the totals. */
export type DayCount = {
  user_id: string;
  day: string;
  operator: string;
  type: string;
  status: string;
  messages: number;
  pages: number;
  price: number;
  posted: number;
};

/** A message that is most probably new, and needs nothing but its row: what is an exception has one more. */
export type Fresh = Patch & { message: MessageEvent; decision: StatusEvent };
export const isFresh = (patch: Patch): patch is Fresh =>
  patch.message !== null && patch.decision !== null && !isException(statusOf(patch));

/** What fresh messages add to the totals. Pure. Throws RangeError where a sum is too large to be exact. */
function countFresh(patches: readonly Fresh[], days: Pick<Days, 'nameOf'>): DayCount[] {
  const all = new Map<string, DayCount>();
  for (const patch of patches) {
    const { user_id, id, message, decision } = patch;
    const { type, pages, price } = message;
    const [day, operator, status] = [days.nameOf(idTimeMs(id)), operatorOf(patch), statusOf(patch)];
    const key = `${user_id}\n${day}\n${operator}\n${type}\n${status}`;
    let counted = all.get(key);
    if (!counted) {
      counted = { user_id, day, operator, type, status, messages: 0, pages: 0, price: 0, posted: 0 };
      all.set(key, counted);
    }
    counted.messages += 1;
    counted.pages += pages;
    counted.price += price;
    counted.posted += decision.posted;
  }
  const counts = [...all.values()];
  for (const { pages, price, posted } of counts)
    if (![pages, price, posted].every(Number.isSafeInteger)) throw new RangeError('a sum that numbers do not hold');
  return counts;
}

/** Fresh messages as the bytes of a COPY. Throws RangeError where a column cannot hold a value. */
function rowsOf(patches: readonly Fresh[]): Buffer[] {
  const rows = createBinaryRows();
  const fields = WHOLE.map(({ kind, read }) => ({ read, write: kindOf(kind).field(rows) }));
  for (const patch of patches) {
    rows.row(fields.length);
    for (const { read, write } of fields) {
      const value = read(patch);
      if (value === null) rows.none();
      else write(value as never);
    }
  }
  return rows.end();
}

const COPY = `COPY messages (${WHOLE.map(({ name }) => name).join(', ')}) FROM STDIN (FORMAT binary)`;

/**
 * Copies fresh messages inside the caller's transaction. Answers what they add to the totals.
 * @param patches ordered by id; the partitions of their days exist
 * @throws NotCopied
 */
export async function copyMessages(
  tx: Sql,
  patches: readonly Fresh[],
  days: Pick<Days, 'nameOf'>,
): Promise<DayCount[]> {
  if (patches.length === 0) return [];
  try {
    const counts = countFresh(patches, days);
    const bytes = rowsOf(patches);
    await pipeline(Readable.from(bytes), await tx.unsafe(COPY).writable());
    return counts;
  } catch (thrown) {
    if (thrown instanceof RangeError || (thrown as { code?: string }).code === '23505')
      throw new NotCopied('a row is there already, or does not fit', { cause: thrown });
    throw thrown;
  }
}
