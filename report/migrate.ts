/** Brings the database to this version's tables, one process at a time, and fixes what may not change afterwards. */
import { join } from 'node:path';
import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator';
import { ConfigError } from '../shared/config.ts';
import { closePostgres, connectPostgres } from '../shared/postgres.ts';

const MIGRATIONS_LOCK = 7_265_000;

/**
 * Applies the migrations under an advisory lock.
 * @throws ConfigError when the database was begun with another time zone: its sums by day cannot be moved
 */
export async function migrate(databaseUrl: string, timeZone: string): Promise<void> {
  // Clients of its own: drizzle changes its client's parsers, and the lock belongs to a session.
  const locker = connectPostgres(databaseUrl, { name: 'jsms-report-migrate', max: 1, statementTimeoutMs: 0 });
  const client = connectPostgres(databaseUrl, { name: 'jsms-report-migrate', max: 1, statementTimeoutMs: 0 });
  try {
    await locker`SELECT pg_advisory_lock(${MIGRATIONS_LOCK})`;
    await applyMigrations(drizzle(client), { migrationsFolder: join(import.meta.dirname, 'migrations') });
    await locker`INSERT INTO report_state (key, value) VALUES ('time_zone', ${timeZone}) ON CONFLICT DO NOTHING`;
    const [row] = await locker<{ value: string }[]>`SELECT value FROM report_state WHERE key = 'time_zone'`;
    if (row?.value !== timeZone) {
      throw new ConfigError([
        `REPORT_TIME_ZONE: this database's days are those of ${row?.value}, and its sums cannot be moved; keep that zone or begin a new database`,
      ]);
    }
  } finally {
    await Promise.all([closePostgres(client), closePostgres(locker)]);
  }
}
