/** The database as the routes read it. */
import { drizzle } from 'drizzle-orm/postgres-js';
import { AppError } from '../shared/error.ts';
import { idTimeMs, isId } from '../shared/id.ts';
import { connectPostgres, type Sql } from '../shared/postgres.ts';

export type Store = {
  /** Queries that drizzle builds. */
  db: ReturnType<typeof drizzle>;
  /** The same pool for sums and reports that are clearer as SQL; times come as the SQL says, drizzle took the parsers. */
  sql: Sql;
  timeZone: string;
};

/** A pool for reading; a statement that takes longer than ten seconds is ended and answered as `unavailable`. */
export function openStore(databaseUrl: string, timeZone: string): Store {
  const sql = connectPostgres(databaseUrl, { name: 'jsms-report-read', max: 6, statementTimeoutMs: 10_000 });
  return { db: drizzle(sql), sql, timeZone };
}

/**
 * All statements of one answer see one instant of the database.
 * @param read is to ask what it is given and not the store: a second connection beside the first, and as many answers at once as
 *   the pool has connections would wait for each other for ever
 */
export function atOneInstant<T>(store: Store, read: (frozen: Store) => Promise<T>): Promise<T> {
  return store.sql.begin('isolation level repeatable read read only', (tx) => {
    // drizzle sets its client's parsers, which a transaction has from its pool.
    const sql = Object.assign(tx, { options: store.sql.options }) as unknown as Sql;
    return read({ ...store, sql, db: drizzle(sql) });
  }) as Promise<T>;
}

/** A page's end as an opaque text. */
export const encodeCursor = (parts: readonly (string | number)[]): string =>
  Buffer.from(JSON.stringify(parts)).toString('base64url');

const badCursor = (): AppError =>
  new AppError('invalid_request', 'The cursor does not fit.', {
    fields: [{ field: 'cursor', detail: 'must be a next_cursor of this very list' }],
  });

/** Reads a cursor of a list in the order of ids. Throws `invalid_request`. */
export function decodeIdCursor(cursor: string): string {
  const [ms, id] = decodeCursor(cursor, 2);
  if (typeof id !== 'string' || !isId(id) || idTimeMs(id) !== ms) throw badCursor();
  return id;
}

/** Reads a cursor into its parts. Throws `invalid_request` when it is not one, or has another number of parts. */
export function decodeCursor(cursor: string, length: number): unknown[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(parts) && parts.length === length) return parts;
  } catch {
    // Falls through: whatever it is, it is none of ours.
  }
  throw badCursor();
}

export const idCursor = (id: string): string => encodeCursor([idTimeMs(id), id]);
export { badCursor };
