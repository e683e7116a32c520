/**
 * The fear: PostgreSQL is killed under load, and when it is back a query waits for its answer for ever, or a connection of the
 * pool is gone for good; after four of those the report writes nothing any more.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { ownIdentity } from '../../local/pid-file.ts';
import { endWithProcess, temporaryDir } from '../../local/servers/all.ts';
import { startPostgres } from '../../local/servers/postgres.ts';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { closePostgres, connectPostgres, type Sql } from '../../shared/postgres.ts';
import { until } from '../support/poll.ts';

const CONNECTIONS = 4;
const KILLS = 12;
/** Of a load that never rests, up to its kill. */
const ALIVE_MS_MAX = 150;

const dir = temporaryDir();
endWithProcess(dir);
let server: LocalServer;
let sql: Sql;
beforeAll(async () => {
  server = await startPostgres({ dir, owner: ownIdentity() });
  sql = connectPostgres(server.address, { name: 'test', max: CONNECTIONS, statementTimeoutMs: 30_000 });
  await sql`CREATE TABLE kept (id int PRIMARY KEY, value text)`;
  await sql`CREATE TABLE copied (id int PRIMARY KEY, value text)`;
}, 120_000);
afterAll(async () => {
  await closePostgres(sql);
  await server.kill();
  rmSync(dir, { recursive: true, force: true });
}, 30_000);

const UPSERT = `INSERT INTO kept (id, value) SELECT * FROM unnest($1::int[], $2::text[])
  ON CONFLICT (id) DO UPDATE SET value = excluded.value`;

/** As the report writes: questions first, then several statements as one flight. */
const write = () =>
  sql.begin(async (tx) => {
    await tx`SELECT count(*) FROM kept WHERE value = ${'a'}`;
    const upsert = (id: number) => tx.unsafe(UPSERT, [[id], ['b'.repeat(id * 300)]] as never[], { prepare: true });
    await Promise.all([upsert(1), upsert(7)]);
  });
/** As the report copies rows; those that are there already refuse it after its last byte. */
const copy = () =>
  sql.begin(async (tx) => {
    await tx`SELECT count(*) FROM kept WHERE value = ${'a'}`;
    const first = Math.floor(Math.random() * 1_000_000);
    const lines = Array.from({ length: 40 }, (_, i) => `${first + i}\t${'c'.repeat(3_000)}\n`);
    await pipeline(Readable.from(lines), await tx.unsafe('COPY copied FROM STDIN').writable());
  });
const clean = () => sql.begin((tx) => tx`DELETE FROM kept WHERE id = ${9}`);
const ask = () => sql`SELECT value FROM kept WHERE id = ${1}`;

test('PostgreSQL killed again and again under load: each query is answered once it is back, and no connection is lost', async () => {
  const open = new Set<Promise<unknown>>();
  let ended = false;
  const keepOn = async (work: () => Promise<unknown>): Promise<void> => {
    while (!ended) {
      const call = work().then(
        () => undefined,
        () => undefined,
      );
      open.add(call);
      await call;
      open.delete(call);
      await delay(Math.random() * 4);
    }
  };
  const loops = [write, write, copy, copy, clean, clean, ask, ask].map(keepOn);
  for (let kill = 1; kill <= KILLS; kill += 1) {
    await delay(Math.random() * ALIVE_MS_MAX);
    await server.kill();
    await server.restart();
    const asked = [...open];
    await until(`all that was asked before kill ${kill} is answered`, () => asked.every((call) => !open.has(call)), {
      withinMs: 15_000,
    });
  }
  ended = true;
  await Promise.all(loops);
  const slept = Array.from({ length: CONNECTIONS }, () => sql`SELECT pg_backend_pid() AS pid, pg_sleep(0.5)`);
  const pids = new Set((await Promise.all(slept)).map(([row]) => (row as { pid: number }).pid));
  expect(pids.size).toBe(CONNECTIONS);
}, 180_000);
