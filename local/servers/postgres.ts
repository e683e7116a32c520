/** A PostgreSQL with one login and one database on 127.0.0.1. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { postgresFitness } from '../fitness/postgres.ts';
import { freePort } from '../ports.ts';
import type { StartOptions } from './kafka.ts';
import { type ServerUser, serverUser } from './os-user.ts';
import { findPostgres } from './postgres-binaries.ts';
import { type LocalServer, startServer } from './server-process.ts';

const RANK = 12;

export type PostgresOptions = StartOptions & {
  user?: string;
  password?: string;
  database?: string;
  /** The folder of PostgreSQL's programs; empty: the npm package's, else the machine's. */
  programs?: string | undefined;
};
type Login = { user: string; password: string; database: string };

/** Sensible for a small machine that runs everything else as well. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  // No socket file: its path would be too long below a deep data folder.
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '128MB',
  max_wal_size: '1GB',
  checkpoint_timeout: '15min',
  wal_compression: 'on',
  random_page_cost: '1.1',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/** Runs one of PostgreSQL's programs to its end. Throws with what it printed. */
function runToEnd(user: ServerUser, program: string, args: string[], cwd: string, input = ''): Promise<void> {
  const launch = user.wrap(program, args);
  const child = spawn(launch.command, launch.args, { cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  let printed = '';
  child.stdout.on('data', (chunk) => {
    printed += chunk;
  });
  child.stderr.on('data', (chunk) => {
    printed += chunk;
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(new Error(`${launch.command} cannot be started: ${cause.message}`)));
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`PostgreSQL's data folder could not be made: ${printed.trim()}`)),
    );
  });
}

const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Makes the data folder with its login and database: aside, then renamed, so that it is whole or absent. */
async function initialise(bin: string, home: string, login: Login, user: ServerUser): Promise<void> {
  const aside = join(home, 'data.new');
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true, mode: 0o700 });
  const passwordFile = join(home, 'password');
  writeFileSync(passwordFile, `${login.password}\n`, { mode: 0o600 });
  for (const path of [home, aside, passwordFile]) user.own(path);
  const args = [
    '-D',
    aside,
    '-U',
    login.user,
    `--pwfile=${passwordFile}`,
    '-A',
    'scram-sha-256',
    '-E',
    'UTF8',
    '--locale=C',
  ];
  try {
    await runToEnd(user, join(bin, 'initdb'), args, home);
    if (login.database !== 'postgres') {
      const create = `CREATE DATABASE ${identifier(login.database)};\n`;
      await runToEnd(user, join(bin, 'postgres'), ['--single', '-D', aside, 'postgres'], home, create);
    }
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(aside, join(home, 'data'));
}

/** What PostgreSQL says while processes of a killed one still hold its memory; they end by themselves at once. */
const isStillEnding = (words: string): boolean => words.includes('shared memory block');

/**
 * Starts PostgreSQL with its data in `dir`/postgres; returns when the login works. Never as root.
 * @throws one sentence: none for this machine, data of another version, a taken port, or the end of its own log
 */
export async function startPostgres(options: PostgresOptions): Promise<LocalServer> {
  const { dir, owner = null, signal } = options;
  const login = {
    user: options.user ?? 'jsms',
    password: options.password ?? 'jsms',
    database: options.database ?? 'jsms',
  };
  const home = join(dir, 'postgres');
  const data = join(home, 'data');
  const versionFile = join(data, 'PG_VERSION');
  const { bin } = await findPostgres(
    existsSync(versionFile) ? Number.parseInt(readFileSync(versionFile, 'utf8'), 10) : null,
    options.programs,
  );
  const user = await serverUser();
  if (!existsSync(data)) {
    mkdirSync(home, { recursive: true });
    await initialise(bin, home, login, user);
  }
  const port = options.port ?? (await freePort());
  const settings = Object.entries({ ...SETTINGS, port: String(port) }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  const { command, args } = user.wrap(join(bin, 'postgres'), ['-D', data, ...settings]);
  const part = encodeURIComponent;
  const address = `postgres://${part(login.user)}:${part(login.password)}@127.0.0.1:${port}/${part(login.database)}`;
  return startServer({
    name: 'postgres',
    dir,
    address,
    port,
    rank: RANK,
    launch: { command, args, cwd: home },
    answers: async () => {
      const fitness = await postgresFitness(address, 2_000);
      if (fitness.state === 'unfit') throw new Error(fitness.reason);
      return fitness.state === 'fit';
    },
    // Fast shutdown: sessions are ended, the data are written. TERM would wait for every client.
    stopSignal: 'SIGINT',
    graceMs: 30_000,
    readyWithinMs: 60_000,
    owner,
    retry: isStillEnding,
    ...(signal ? { signal } : {}),
  });
}
