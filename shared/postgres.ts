/** PostgreSQL: one pool per use. postgres.js decides the wire; drizzle maps the tables. */
import { readFileSync } from 'node:fs';
import { connect, isIP, Socket } from 'node:net';
import postgres from 'postgres';
import { ConfigError } from './config.ts';

export type Sql = postgres.Sql;
/** A piece of a statement. */
export type SqlFragment = postgres.Fragment;

/**
 * Opens a pool (connections are made when first used).
 * A statement whose connection is lost has an unknown outcome, so every write here is an upsert.
 * @param url may ask for TLS as libpq's URLs do: `sslmode` and `sslrootcert`
 * @param statementTimeoutMs the server ends a statement that takes longer, and a connection whose transaction waits longer for its next
 */
export function connectPostgres(
  url: string,
  { name, max, statementTimeoutMs }: { name: string; max: number; statementTimeoutMs: number },
): Sql {
  const { address, ssl } = readSslMode(url);
  const options = {
    ...(ssl === null ? {} : { ssl }),
    max,
    idle_timeout: 60,
    connect_timeout: 5,
    onnotice: () => undefined,
    connection: {
      application_name: name,
      statement_timeout: statementTimeoutMs,
      idle_in_transaction_session_timeout: statementTimeoutMs,
    },
    socket: createSocketFactory(),
    // In seconds. Its own would let a query wait up to 20 s for the next attempt; here whoever asks decides how often.
    backoff: () => 0.05 + Math.random() * 0.15,
  };
  return postgres(address, options);
}

type Ssl = boolean | 'allow' | 'prefer' | 'require' | Record<string, unknown>;

/**
 * libpq's `sslmode` and `sslrootcert`, which postgres.js knows by half: what is verified is decided here, and neither travels to
 * the server. Without `sslmode` the connection is plain. Throws a ConfigError that does not repeat the URL.
 */
export function readSslMode(url: string): { address: string; ssl: Ssl | null } {
  const parsed = new URL(url);
  const mode = parsed.searchParams.get('sslmode');
  const file = parsed.searchParams.get('sslrootcert');
  if (mode === null && file === null) return { address: url, ssl: null };
  parsed.searchParams.delete('sslmode');
  parsed.searchParams.delete('sslrootcert');
  const address = parsed.href;
  let ca: string | undefined;
  try {
    if (file !== null && file !== 'system') ca = readFileSync(file, 'utf8');
  } catch (thrown) {
    throw new ConfigError([`DATABASE_URL: sslrootcert cannot be read (${(thrown as NodeJS.ErrnoException).code})`]);
  }
  const host = parsed.hostname.replace(/^\[|\]$/g, '');
  const name = isIP(host) === 0 ? { servername: host } : { host };
  const anyName = { checkServerIdentity: () => undefined };
  switch (mode ?? 'prefer') {
    case 'disable':
      return { address, ssl: false };
    case 'allow':
    case 'prefer':
      return { address, ssl: mode === 'allow' ? 'allow' : 'prefer' };
    case 'require':
      // As libpq does: with an authority named, require verifies like verify-ca.
      return { address, ssl: ca === undefined ? 'require' : { ca, ...name, ...anyName } };
    case 'verify-ca':
      return { address, ssl: { ca, ...name, ...anyName } };
    case 'verify-full':
      return { address, ssl: { ca, ...name } };
    default:
      throw new ConfigError([
        'DATABASE_URL: sslmode must be disable, allow, prefer, require, verify-ca or verify-full',
      ]);
  }
}

/** Ends a pool: without a timeout the process would never end. */
export const closePostgres = (sql: Sql): Promise<void> => sql.end({ timeout: 5 });

type Addresses = { host: string[]; port: number[]; path?: string | false };

/**
 * postgres.js connects again at once, without end and without a pause, where a connection is taken and closed before
 * PostgreSQL said a word, as a proxy does whose server is away: the query would hang and a core would burn. So the attempt
 * after such a one fails, and with it the query.
 */
function createSocketFactory(): (addresses: Addresses) => Socket {
  let closedInSilence = false;
  let turn = 0;
  return ({ host, port, path }) => {
    if (closedInSilence) {
      closedInSilence = false;
      const failing = new Socket();
      const reason = new Error('the connection was closed before PostgreSQL answered');
      setImmediate(() => failing.destroy(Object.assign(reason, { code: 'CONNECTION_CLOSED' })));
      return failing;
    }
    const at = turn++ % host.length;
    const socket = path ? connect(path) : connect(port[at] as number, host[at] as string);
    let heard = false;
    socket.once('data', () => {
      heard = true;
    });
    socket.once('close', (hadError) => {
      closedInSilence = !heard && !hadError;
    });
    // What TLS is checked against.
    return Object.assign(socket, { host: host[at], port: port[at] });
  };
}
