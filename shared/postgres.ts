/** PostgreSQL: one pool per use. postgres.js decides the wire; drizzle maps the tables. */
import { connect, Socket } from 'node:net';
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
  const options = {
    max,
    idle_timeout: 60,
    connect_timeout: 5,
    onnotice: () => undefined,
    connection: { application_name: name, statement_timeout: statementTimeoutMs },
    socket: createSocketFactory(),
  };
  return postgres(url, options);
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
