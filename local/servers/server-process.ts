/** One program that runs for us: started in a session of its own, written down in a pid file, ended by its pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { identityOf, isSame } from '../identity.ts';
import { endRecord, type PidRecord, writePidFile } from '../pid-file.ts';
import { isListening } from '../ports.ts';
import { poll } from '../wait.ts';
import { asBatch, setTurn, type Turn } from './scheduling.ts';

/** A server that was started here. After `restart` its pid is another one, its address is the same. */
export type LocalServer = {
  readonly name: string;
  /** What goes into the setting of its name: `host:port` for Kafka, a URL for the others. */
  readonly address: string;
  readonly port: number;
  readonly pid: number;
  readonly logFile: string;
  isAlive(): boolean;
  /** How it ended, `signal SIGKILL` or `code 1`; null while it runs. */
  readonly ending: string | null;
  /** Ends it in order; SIGKILL when it takes too long. */
  stop(): Promise<void>;
  /** SIGKILL, returns when it is gone. */
  kill(): Promise<void>;
  /** Starts it again on its port with its data, ending it first where it still runs; returns when it answers. */
  restart(): Promise<void>;
};

export type Launch = {
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  cwd: string;
  /** Where there is too little CPU for all; default: among the others. */
  turn?: Turn;
};

export type ServerSpec = {
  name: string;
  /** The base folder: logs/, run/ and the server's own data are in it. */
  dir: string;
  address: string;
  /** Where it listens; default 127.0.0.1. */
  host?: string;
  port: number;
  rank: number;
  launch: Launch;
  /** Whether it does its work by now. */
  answers: () => Promise<boolean>;
  stopSignal: PidRecord['stopSignal'];
  graceMs: number;
  readyWithinMs: number;
  owner: PidRecord['owner'];
  signal?: AbortSignal;
  /** True for a start that may fail for a moment after a kill and is then tried again. */
  retry?: (lastWords: string) => boolean;
};

const LOG_BYTES_MAX = 20_000_000;
const LAST_BYTES = 2_000;
const RETRIES = 40;

/** The end of a log file, for an error message: `most` bytes. */
export function lastWords(logFile: string, from = 0, most = LAST_BYTES): string {
  if (!existsSync(logFile)) return '';
  const log = readFileSync(logFile).subarray(from);
  return log
    .subarray(Math.max(0, log.length - most))
    .toString()
    .trim();
}

/** The log file of a name, ready to be appended to. A large one is set aside first; one older is kept. */
export function prepareLog(dir: string, name: string): string {
  const logFile = join(dir, 'logs', `${name}.log`);
  mkdirSync(dirname(logFile), { recursive: true });
  if (existsSync(logFile) && statSync(logFile).size > LOG_BYTES_MAX) renameSync(logFile, `${logFile}.1`);
  return logFile;
}

type Child = ChildProcess & { pid: number };
const isStarted = (child: ChildProcess): child is Child => child.pid !== undefined;

function endingOf({ exitCode, signalCode }: ChildProcess): string | null {
  if (signalCode !== null) return `signal ${signalCode}`;
  return exitCode === null ? null : `code ${exitCode}`;
}

function spawnDetached(launch: Launch, logFile: string): Promise<Child> {
  const log = openSync(logFile, 'a');
  try {
    const { turn = 'among' } = launch;
    const { command, args } = asBatch(launch.command, launch.args, turn);
    const child = spawn(command, args, {
      cwd: launch.cwd,
      env: launch.env ?? process.env,
      // A session of its own: Ctrl-C at the terminal reaches the command alone, which then ends everything in order.
      detached: true,
      stdio: ['ignore', log, log],
    });
    child.unref();
    if (isStarted(child)) setTurn(child.pid, turn);
    return new Promise((resolve, reject) => {
      child.once('error', (cause) => reject(new Error(`${launch.command} cannot be started: ${cause.message}`)));
      if (isStarted(child)) resolve(child);
    });
  } finally {
    closeSync(log);
  }
}

type Started = { record: PidRecord; child: Child };

/** Starts the program and waits until it answers. On any failure, and when stopped, nothing is left running. */
async function startOnce(spec: ServerSpec, logFile: string): Promise<Started> {
  const host = spec.host ?? '127.0.0.1';
  if (await isListening(host, spec.port)) {
    throw new Error(`${spec.name}: port ${spec.port} of ${host} is taken by another program; end that one.`);
  }
  const logStart = existsSync(logFile) ? statSync(logFile).size : 0;
  const child = await spawnDetached(spec.launch, logFile);
  const { pid } = child;
  const { name, address, rank, stopSignal, graceMs, owner } = spec;
  const record: PidRecord = { name, pid, identity: identityOf(pid) ?? '', address, rank, stopSignal, graceMs, owner };
  writePidFile(spec.dir, record);
  const isAlive = () => isSame(pid, record.identity);
  try {
    const ready = await poll(async () => !isAlive() || (await spec.answers()), {
      withinMs: spec.readyWithinMs,
      ...(spec.signal ? { signal: spec.signal } : {}),
    });
    if (!isAlive()) throw new Error(`${name} ended while it started:\n${lastWords(logFile, logStart)}`);
    if (!ready) {
      const waitedS = Math.round(spec.readyWithinMs / 1_000);
      throw new Error(
        `${name} was not ready after ${waitedS} s; its log is ${logFile}:\n${lastWords(logFile, logStart)}`,
      );
    }
    return { record, child };
  } catch (thrown) {
    await endRecord(spec.dir, record);
    throw thrown;
  }
}

async function startWithRetries(spec: ServerSpec, logFile: string): Promise<Started> {
  for (let left = RETRIES; ; left--) {
    try {
      return await startOnce(spec, logFile);
    } catch (thrown) {
      if (left === 0 || !(thrown instanceof Error) || !spec.retry?.(thrown.message)) throw thrown;
    }
  }
}

/** Starts a server and waits until it answers. Throws one sentence, with the end of its log, when it does not. */
export async function startServer(spec: ServerSpec): Promise<LocalServer> {
  const logFile = prepareLog(spec.dir, spec.name);
  let { record, child } = await startWithRetries(spec, logFile);
  const isAlive = () => isSame(record.pid, record.identity);
  return {
    name: spec.name,
    address: spec.address,
    port: spec.port,
    logFile,
    get pid() {
      return record.pid;
    },
    isAlive,
    get ending() {
      return endingOf(child);
    },
    stop: () => endRecord(spec.dir, record),
    kill: () => endRecord(spec.dir, record, 'SIGKILL'),
    restart: async () => {
      if (isAlive()) await endRecord(spec.dir, record);
      ({ record, child } = await startWithRetries(spec, logFile));
    },
  };
}
