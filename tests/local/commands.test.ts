import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import postgres from 'postgres';
import { readPidFile, runningRecords } from '../../local/pid-file.ts';
import { ROOT } from '../../local/places.ts';
import { freePort, isListening } from '../../local/ports.ts';
import { endWithProcess, temporaryDir } from '../../local/servers/all.ts';
import { startKafka } from '../../local/servers/kafka.ts';

setDefaultTimeout(120_000);

const PORTS = [
  'BILLING_HTTP_PORT',
  'BILLING_GRPC_PORT',
  'GATEWAY_HTTP_PORT',
  'DISPATCHER_HTTP_PORT',
  'REPORT_HTTP_PORT',
  'SIMULATOR_HTTP_PORT',
  'SIMULATOR_SMPP_PORT',
] as const;

const dir = temporaryDir();
endWithProcess(dir);
/** For these commands it is one that runs already; their topics and groups meet nobody else's. */
const kafkaDir = temporaryDir();
endWithProcess(kafkaDir);
const kafka = await startKafka({ dir: kafkaDir });
const running = new Set<ChildProcess>();
afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await kafka.stop();
});

const redisPort = await freePort();
const postgresPort = await freePort();
const databaseUrl = `postgres://jsms:jsms@127.0.0.1:${postgresPort}/jsms`;
const ports = Object.fromEntries(await Promise.all(PORTS.map(async (name) => [name, String(await freePort())])));
const env = {
  ...process.env,
  ...ports,
  DATA_DIR: dir,
  HOST: '127.0.0.1',
  KAFKA_BROKERS: kafka.address,
  REDIS_URL: `redis://127.0.0.1:${redisPort}`,
  DATABASE_URL: databaseUrl,
};

type Command = { child: ChildProcess; printed: () => string; ended: Promise<number> };

/** The command as a person starts it, from another folder, in a process group of its own as a terminal gives it. */
function command(name: string, args: string[] = [], changed: Record<string, string> = {}): Command {
  const child = spawn(process.execPath, ['--silent', 'run', '--cwd', ROOT, name, ...args], {
    cwd: '/',
    env: { ...env, ...changed },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      printed += chunk;
    });
  }
  const ended = once(child, 'close').then(([code]) => {
    running.delete(child);
    return (code as number | null) ?? -1;
  });
  return { child, printed: () => printed, ended };
}

async function printedBy(started: Command, text: string): Promise<void> {
  for (const until = Date.now() + 90_000; !started.printed().includes(text); ) {
    if (Date.now() > until || started.child.exitCode !== null) throw new Error(`no "${text}" in: ${started.printed()}`);
    await Promise.race([started.ended, once(started.child.stdout as NodeJS.ReadableStream, 'data')]);
  }
}

const listening = async (): Promise<boolean[]> =>
  Promise.all([redisPort, postgresPort].map((port) => isListening('127.0.0.1', port)));

async function query(text: string): Promise<unknown[]> {
  const sql = postgres(databaseUrl, { max: 1 });
  try {
    return [...(await sql.unsafe(text))];
  } finally {
    await sql.end({ timeout: 1 });
  }
}

test('`infra` returns with servers in the background, uses one that runs, keeps the data; `down` ends what is ours', async () => {
  const first = command('infra');
  expect(await first.ended).toBe(0);
  expect(first.printed()).toContain('(ran already)');
  expect(await listening()).toEqual([true, true]);
  await query('create table kept as select 7 as n');

  const again = command('infra');
  expect(await again.ended).toBe(0);
  expect(again.printed().match(/ran already/g)).toHaveLength(3);

  expect(await command('down').ended).toBe(0);
  expect(await listening()).toEqual([false, false]);
  expect(await isListening('127.0.0.1', kafka.port)).toBe(true);

  expect(await command('infra').ended).toBe(0);
  expect(await query('select n from kept')).toEqual([{ n: 7 }]);
  const down = command('down');
  await down.ended;
  expect(down.printed()).toBe('Ended: postgres, redis.\n');
  expect(runningRecords(dir)).toEqual([]);
});

test('`up` brings four services up, and one Ctrl-C that arrives twice ends them all and leaves nothing', async () => {
  const up = command('up', ['--reset']);
  await printedBy(up, 'All is ready');
  for (const name of ['BILLING', 'GATEWAY', 'DISPATCHER', 'REPORT', 'SIMULATOR']) {
    const { status } = await fetch(`http://127.0.0.1:${ports[`${name}_HTTP_PORT`]}/health/ready`);
    expect(status).toBe(200);
  }
  expect(up.printed()).toContain(`curl --request GET --url http://localhost:${ports.REPORT_HTTP_PORT}/report/123`);
  // Billing asks the report for PostgreSQL's account: they have found each other on ports that are not the defaults.
  const audit = await fetch(`http://127.0.0.1:${ports.BILLING_HTTP_PORT}/audit/123`);
  expect(await audit.json()).toMatchObject({ balanced: true, postgres: { topped_up: 0 } });
  const names = runningRecords(dir).map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['up', 'gateway', 'dispatcher', 'report', 'billing', 'simulator']));

  const second = command('up');
  expect(await second.ended).toBe(1);
  expect(second.printed()).toContain('`bun run up` is at work');

  // A terminal signals the whole group; `bun run` passes it on, so that it arrives twice.
  process.kill(-(up.child.pid as number), 'SIGINT');
  process.kill(readPidFile(dir, 'up')?.pid as number, 'SIGINT');
  expect(await up.ended).toBe(0);
  expect(runningRecords(dir)).toEqual([]);
  expect(await listening()).toEqual([false, false]);
});

test('what a killed `up` has left is ended by the next command', async () => {
  const up = command('up');
  await printedBy(up, 'All is ready');
  const { pid } = readPidFile(dir, 'up') as { pid: number };
  process.kill(pid, 'SIGKILL');
  await up.ended;
  expect(runningRecords(dir).map(({ name }) => name)).toContain('billing');
  const down = command('down');
  expect(await down.ended).toBe(0);
  expect(down.printed()).toContain('billing');
  expect(runningRecords(dir)).toEqual([]);
});

test('a port that another program holds is one sentence with the setting to change, and nothing is started', async () => {
  const server = createServer().listen(Number(ports.GATEWAY_HTTP_PORT), '127.0.0.1');
  await once(server, 'listening');
  const up = command('up');
  expect(await up.ended).toBe(1);
  server.close();
  const sentence = `Port ${ports.GATEWAY_HTTP_PORT} (gateway) is taken by another program: end it, or set GATEWAY_HTTP_PORT.`;
  expect(up.printed().trim()).toBe(sentence);
  expect(runningRecords(dir)).toEqual([]);
});

test('a server elsewhere that does not answer is one sentence', async () => {
  const elsewhere = command('infra', [], { REDIS_URL: 'redis://192.0.2.1:6379' });
  expect(await elsewhere.ended).toBe(1);
  expect(elsewhere.printed()).toContain(
    'Redis does not answer at 192.0.2.1:6379 (REDIS_URL), and it is not this machine',
  );
  expect(await listening()).toEqual([false, false]);
});

test('a Docker engine whose pull fails is no obstacle: the servers are started without it', async () => {
  const fresh = temporaryDir();
  endWithProcess(fresh);
  const docker = join(fresh, 'docker');
  writeFileSync(docker, '#!/bin/sh\ncase "$*" in *" up "*) echo "pull access denied" >&2; exit 1;; esac\n', {
    mode: 0o755,
  });
  const changed = { DATA_DIR: fresh, PATH: `${fresh}:${process.env.PATH}` };
  const started = command('infra', [], changed);
  expect(await started.ended).toBe(0);
  expect(started.printed()).toContain('Starting Redis, PostgreSQL by docker compose');
  expect(started.printed()).toContain('Docker could not start them; they are started without it.');
  expect(await listening()).toEqual([true, true]);
  expect(await command('down', [], changed).ended).toBe(0);
  expect(await listening()).toEqual([false, false]);
});

test('without Java the sentence says what to install', async () => {
  const without = command('infra', [], {
    PATH: join(dir, 'nothing'),
    JAVA_HOME: '',
    KAFKA_BROKERS: `127.0.0.1:${await freePort()}`,
  });
  expect(await without.ended).toBe(1);
  expect(without.printed()).toContain('Java is missing');
  expect(runningRecords(dir)).toEqual([]);
});
