/** One message with its timeline. */
import { eq, sql } from 'drizzle-orm';
import { AppError } from '../shared/error.ts';
import { itemColumns, itemOf, type TimelineRow, timelineOf } from './item.ts';
import { messages } from './schema.ts';
import type { Store } from './store.ts';

const timelineColumns = {
  version: messages.version,
  routed: messages.routed,
  decided_ms: sql<number | null>`(extract(epoch from ${messages.decided_at}) * 1000)::float8`,
  history: messages.history,
  receipts: messages.receipts,
  user_id: messages.user_id,
};

/** @throws AppError `not_found` */
export async function readMessage(store: Store, id: string) {
  const [row] = await store.db
    .select({ ...itemColumns, ...timelineColumns })
    .from(messages)
    .where(eq(messages.id, id));
  if (!row) throw new AppError('not_found', 'There is no such message, or its day was dropped.');
  const { version, routed, decided_ms, history, receipts, user_id, ...item } = row;
  const timeline = timelineOf({ ...item, version, routed, decided_ms, history, receipts } as TimelineRow);
  return { user_id, ...itemOf(item), timeline };
}
