/** PostgreSQL: one pool per use. postgres.js decides the wire; drizzle maps the tables. */
import postgres from 'postgres';

export type Sql = postgres.Sql;

/**
 * Opens a pool (connections are made when first used).
 * A statement whose connection is lost has an unknown outcome, so every write here is an upsert.
 * @param statementTimeoutMs the server ends a statement that takes longer
 */
export function connectPostgres(
  url: string,
  { name, max, statementTimeoutMs }: { name: string; max: number; statementTimeoutMs: number },
): Sql {
  return postgres(url, {
    max,
    idle_timeout: 60,
    connect_timeout: 5,
    onnotice: () => undefined,
    connection: { application_name: name, statement_timeout: statementTimeoutMs },
  });
}

/** Ends a pool: without a timeout the process would never end. */
export const closePostgres = (sql: Sql): Promise<void> => sql.end({ timeout: 5 });
