/** Messages whose last retry failed: listed, discarded, and sent again as new messages. */
import { and, desc, eq, isNull, lt, sql } from 'drizzle-orm';
import { AppError } from '../shared/error.ts';
import { type TimelineRow, timelineOf } from './item.ts';
import { deadLetters, messages } from './schema.ts';
import { decodeIdCursor, idCursor, type Store } from './store.ts';

const msOf = (column: Parameters<typeof sql>[1]) => sql<number>`(extract(epoch from ${column}) * 1000)::float8`;

const columns = {
  id: deadLetters.id,
  user_id: deadLetters.user_id,
  dead_operator: deadLetters.operator,
  dead_error: deadLetters.error,
  died_ms: msOf(deadLetters.died_at),
  replayed_as: deadLetters.replayed_as,
  phone: messages.phone,
  text: messages.text,
  type: messages.type,
  sender: messages.sender,
  client_ref: messages.client_ref,
  status: messages.status,
  operator: messages.operator,
  attempts: messages.attempts,
  posted: messages.posted,
  error: messages.error,
  version: messages.version,
  routed: messages.routed,
  decided_ms: sql<number | null>`(extract(epoch from ${messages.decided_at}) * 1000)::float8`,
  history: messages.history,
  receipts: messages.receipts,
};

const standing = isNull(deadLetters.discarded_at);

function select(store: Store) {
  return store.db.select(columns).from(deadLetters).innerJoin(messages, eq(messages.id, deadLetters.id));
}
type Row = Awaited<ReturnType<typeof select>>[number];

function answerOf(row: Row) {
  const { id, user_id, phone, text, type, sender, client_ref, attempts, replayed_as } = row;
  return {
    message_id: id,
    user_id,
    phone,
    text,
    type,
    sender,
    client_ref,
    operator: row.dead_operator,
    attempts,
    reason: row.dead_error,
    died_at: new Date(row.died_ms).toISOString(),
    replayed_as,
    history: timelineOf(row as TimelineRow),
  };
}

/** A page of dead letters, newest first. */
export async function listDeadLetters(
  store: Store,
  filter: { user_id?: string; operator?: string },
  limit: number,
  cursor?: string,
) {
  const rows = await select(store)
    .where(
      and(
        standing,
        filter.user_id ? eq(deadLetters.user_id, filter.user_id) : undefined,
        filter.operator ? eq(deadLetters.operator, filter.operator) : undefined,
        cursor === undefined ? undefined : lt(deadLetters.id, decodeIdCursor(cursor)),
      ),
    )
    .orderBy(desc(deadLetters.id))
    .limit(limit + 1);
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { items: page.map(answerOf), next_cursor: rows.length > limit && last ? idCursor(last.id) : null };
}

/** @throws AppError `not_found` */
export async function discardDeadLetter(store: Store, id: string): Promise<void> {
  const gone = await store.db
    .update(deadLetters)
    .set({ discarded_at: sql`now()` })
    .where(and(eq(deadLetters.id, id), standing))
    .returning({ id: deadLetters.id });
  if (gone.length === 0) throw notThere();
}

const notThere = (): AppError => new AppError('not_found', 'There is no such dead letter.');

/** What the gateway answers to a send. */
export type Resend = (
  body: {
    phone: string;
    text: string;
    user_id: string;
    type: string;
    sender?: string;
    client_ref?: string;
    replay_of: string;
  },
  key: string,
) => Promise<Record<string, unknown> & { message_id: string }>;

/**
 * Sends a dead letter's message again, as a new one that is paid once: the gateway keeps the key for a day, and the dead letter
 * itself, or the message that says `replay_of`, knows it for ever.
 * @throws AppError `not_found`, `unavailable`, and whatever the gateway refuses with
 */
export async function replayDeadLetter(store: Store, resend: Resend, id: string) {
  const [row] = await select(store).where(and(eq(deadLetters.id, id), standing));
  if (!row) throw notThere();
  const known = row.replayed_as ?? (await findReplay(store, row.user_id, id));
  if (known !== null) {
    if (row.replayed_as === null) await rememberReplay(store, id, known);
    return {
      message_id: known,
      replay_of: id,
      status: 'queued' as const,
      user_id: row.user_id,
      already_replayed: true,
    };
  }
  if (row.phone === null || row.text === null || row.type === null)
    throw new AppError('unavailable', 'The message itself was not read yet; ask again.');
  const answer = await resend(
    {
      phone: row.phone,
      text: row.text,
      user_id: row.user_id,
      type: row.type,
      ...(row.sender ? { sender: row.sender } : {}),
      ...(row.client_ref ? { client_ref: row.client_ref } : {}),
      replay_of: id,
    },
    `replay:${id}`,
  );
  const message_id = await rememberReplay(store, id, answer.message_id);
  return { ...answer, message_id, replay_of: id, already_replayed: false };
}

/** The account's own message that repeats it: anybody may name any id in `replay_of`. */
async function findReplay(store: Store, userId: string, id: string): Promise<string | null> {
  const [row] = await store.db
    .select({ id: messages.id })
    .from(messages)
    .where(and(eq(messages.replay_of, id), eq(messages.user_id, userId)))
    .limit(1);
  return row?.id ?? null;
}

/** The first replay that is remembered stands; answers it. */
async function rememberReplay(store: Store, id: string, replayId: string): Promise<string> {
  const [row] = await store.db
    .update(deadLetters)
    .set({
      replayed_as: sql`coalesce(${deadLetters.replayed_as}, ${replayId}::uuid)`,
      replayed_at: sql`coalesce(${deadLetters.replayed_at}, now())`,
    })
    .where(eq(deadLetters.id, id))
    .returning({ replayed_as: deadLetters.replayed_as });
  return row?.replayed_as ?? replayId;
}
