import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import postgres from 'postgres';
import { identityOf } from '../../../local/identity.ts';
import { runningRecords } from '../../../local/pid-file.ts';
import { endWithProcess, temporaryDir } from '../../../local/servers/all.ts';
import { startPostgres } from '../../../local/servers/postgres.ts';
import { startRedis } from '../../../local/servers/redis.ts';
import type { LocalServer } from '../../../local/servers/server-process.ts';
import { until } from '../../support/poll.ts';

setDefaultTimeout(30_000);

const dir = temporaryDir();
let redis: LocalServer;
let database: LocalServer;

beforeAll(async () => {
  endWithProcess(dir);
  redis = await startRedis({ dir });
  database = await startPostgres({ dir });
});

afterAll(async () => {
  await Promise.all([redis.stop(), database.stop()]);
  rmSync(dir, { recursive: true, force: true });
});

/** One command by hand, so that no client library hides a reconnect. */
const redisSays = (line: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: redis.port });
    socket.once('error', reject);
    socket.once('data', (chunk) => {
      socket.destroy();
      resolve(chunk.toString());
    });
    socket.write(`${line}\r\n`);
  });

async function databaseSays(query: string): Promise<unknown> {
  const sql = postgres(database.address, { max: 1 });
  try {
    return (await sql.unsafe(query)).map((row) => Object.values(row)[0]);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

test('Redis killed in the moment of its answer still has what it answered', async () => {
  expect(await redisSays('SET money 123456')).toBe('+OK\r\n');
  const before = redis.pid;
  await redis.kill();
  expect(redis.isAlive()).toBe(false);
  await until('how it ended is known', () => redis.ending !== null);
  expect(redis.ending).toBe('signal SIGKILL');
  await redis.restart();
  expect(redis.pid).not.toBe(before);
  expect(redis.ending).toBeNull();
  expect(await redisSays('GET money')).toBe('$6\r\n123456\r\n');
});

test('PostgreSQL killed after a commit has it when it is back on its port', async () => {
  await databaseSays('create table kept as select 7 as n');
  const port = database.port;
  await database.kill();
  await database.restart();
  expect(database.port).toBe(port);
  expect(await databaseSays('select n from kept')).toEqual([7]);
});

test('PostgreSQL never runs as root, also below a folder that is closed to others', async () => {
  expect(await databaseSays("select current_setting('server_version_num')::int >= 140000 as fit")).toEqual([true]);
  const status = existsSync('/proc') ? readFileSync(`/proc/${database.pid}/status`, 'utf8') : 'Uid:\t1';
  expect(/^Uid:\t0\t/m.test(status)).toBe(false);
});

test('each server stands in a pid file while it runs, and in none after its stop', async () => {
  expect(runningRecords(dir).map(({ name }) => name)).toEqual(['postgres', 'redis']);
  const { pid } = redis;
  await redis.stop();
  expect(identityOf(pid)).toBeNull();
  expect(runningRecords(dir).map(({ name }) => name)).toEqual(['postgres']);
  await redis.restart();
});

test('a port that another program holds is one clear sentence, and that program stays', async () => {
  const other = temporaryDir();
  const start = startRedis({ dir: other, port: redis.port });
  await expect(start).rejects.toThrow(`redis: port ${redis.port} of 127.0.0.1 is taken by another program`);
  expect(redis.isAlive()).toBe(true);
  rmSync(other, { recursive: true, force: true });
});
