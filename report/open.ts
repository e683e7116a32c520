/** Waits, bounded, for PostgreSQL, and brings it to what this version expects. */
import { ConfigError } from '../shared/config.ts';
import { type Scope, waitFor } from '../shared/lifecycle.ts';
import { closePostgres, connectPostgres, type Sql } from '../shared/postgres.ts';
import type { Config } from './config.ts';
import { migrate } from './migrate.ts';
import { openStore, type Store } from './store.ts';

/** True when PostgreSQL answered that it will not have this login: waiting does not help. Rethrows everything else. */
function refusedLogin(thrown: unknown): boolean {
  if ((thrown as { code?: string }).code?.startsWith('28')) return true;
  throw thrown;
}

/** @throws one sentence when PostgreSQL does not answer; it names the address, never the password */
export async function openPostgres(config: Config, scope: Scope): Promise<{ sql: Sql; store: Store }> {
  const { host, pathname } = new URL(config.DATABASE_URL);
  const sql = connectPostgres(config.DATABASE_URL, { name: 'jsms-report-write', max: 4, statementTimeoutMs: 60_000 });
  scope.defer('postgres', () => closePostgres(sql));
  const refused = await waitFor(
    () => sql`SELECT 1`.then(() => false, refusedLogin),
    config.DEPENDENCY_WAIT_S * 1_000,
    `PostgreSQL does not answer at ${host}${pathname}; \`bun run infra\` starts one`,
  );
  if (refused) throw new ConfigError([`DATABASE_URL: PostgreSQL at ${host} answers, but refuses its user or password`]);
  await migrate(config.DATABASE_URL, config.REPORT_TIME_ZONE);
  const store = openStore(config.DATABASE_URL, config.REPORT_TIME_ZONE);
  scope.defer('store', () => closePostgres(store.sql));
  return { sql, store };
}
