/** Whether a PostgreSQL lets our login in, is new enough and may be written to. */
import { setTimeout as delay } from 'node:timers/promises';
import postgres from 'postgres';
import { isListening } from '../ports.ts';
import { ABSENT, ANSWER_WITHIN_MS, FIT, type Fitness, starting, unfit } from './fitness.ts';

const VERSION_MIN = 140_000;

/** The errors of a login, by SQLSTATE, in the words of the person who has to mend them. */
const LOGIN_ERRORS: Readonly<Record<string, string>> = {
  '28P01': 'refuses the password of DATABASE_URL',
  '28000': 'refuses the login of DATABASE_URL',
  '3D000': 'has no database of the name in DATABASE_URL',
};

type Row = { version: number; writable: boolean; creatable: boolean };

/** The client tries for ever to reach what closes every connection, so the time is bounded here. */
async function askServer(databaseUrl: string, waitMs: number): Promise<Row> {
  const sql = postgres(databaseUrl, { max: 1, connect_timeout: waitMs / 1_000, onnotice: () => undefined });
  const asked = sql<Row[]>`
    select current_setting('server_version_num')::int as version,
           not pg_is_in_recovery() as writable,
           has_database_privilege(current_database(), 'CREATE') as creatable`;
  const givenUp = new AbortController();
  try {
    const [row] = await Promise.race([
      asked,
      delay(waitMs, [] as Row[], { signal: givenUp.signal }).then(() => {
        throw Object.assign(new Error('no answer'), { code: 'CONNECT_TIMEOUT' });
      }),
    ]);
    if (!row) throw new Error('no answer');
    return row;
  } finally {
    givenUp.abort();
    await sql.end({ timeout: 0 });
  }
}

/** Looks at the PostgreSQL of a DATABASE_URL. Changes nothing there. */
export async function postgresFitness(databaseUrl: string, waitMs = ANSWER_WITHIN_MS): Promise<Fitness> {
  const url = new URL(databaseUrl);
  const port = Number(url.port || 5432);
  const where = `${url.hostname}:${port}`;
  if (!(await isListening(url.hostname.replace(/^\[|\]$/g, ''), port, waitMs))) return ABSENT;
  try {
    const row = await askServer(databaseUrl, waitMs);
    if (row.version < VERSION_MIN)
      return unfit(`PostgreSQL at ${where} is older than 14: let DATABASE_URL name a newer one.`);
    if (!row.writable) return unfit(`PostgreSQL at ${where} is a standby: let DATABASE_URL name its primary.`);
    if (!row.creatable) {
      return unfit(
        `PostgreSQL at ${where} does not let this login create schemas: GRANT CREATE ON DATABASE … TO it, or give DATABASE_URL another port.`,
      );
    }
    return FIT;
  } catch (thrown) {
    const { code = '', message } = thrown as { code?: string; message: string };
    if (code === '57P03') return starting(`PostgreSQL at ${where} is starting up.`);
    if (code === 'CONNECT_TIMEOUT') return starting(`What listens at ${where} does not answer as PostgreSQL does.`);
    const known = LOGIN_ERRORS[code];
    if (known) {
      const { username, pathname } = url;
      return unfit(
        `PostgreSQL at ${where} ${known} (login ${username}, database ${pathname.slice(1)}): create it (CREATE ROLE … LOGIN PASSWORD …; CREATE DATABASE … OWNER …), or give DATABASE_URL another port and a fit one is started there.`,
      );
    }
    return unfit(
      `What listens at ${where} is no PostgreSQL that can be used (${code || message}): end it, or give DATABASE_URL another port.`,
    );
  }
}
