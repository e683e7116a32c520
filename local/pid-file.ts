/**
 * What runs on our behalf is written down in DATA_DIR/run, one file per process, so that a later `up`, `infra` or `down`
 * can end what a SIGKILL left. The start time is kept beside the pid: a pid that was given to a stranger is never killed.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { identityOf, isSame } from './identity.ts';
import { poll } from './wait.ts';

export type PidRecord = {
  name: string;
  pid: number;
  identity: string;
  address: string;
  /** Ended from the highest to the lowest, so that a server outlives what uses it. */
  rank: number;
  stopSignal: 'SIGTERM' | 'SIGINT';
  /** How long it may take to end before it is killed. */
  graceMs: number;
  /** The command that ends it; null for what stays until `down`. */
  owner: { pid: number; identity: string } | null;
};

const folder = (dir: string): string => join(dir, 'run');
const fileOf = (dir: string, name: string): string => join(folder(dir), `${name}.json`);

/** This process as an owner. */
export function ownIdentity(): { pid: number; identity: string } {
  return { pid: process.pid, identity: identityOf(process.pid) ?? '' };
}

export function writePidFile(dir: string, record: PidRecord): void {
  mkdirSync(folder(dir), { recursive: true });
  const whole = `${fileOf(dir, record.name)}.${process.pid}`;
  writeFileSync(whole, JSON.stringify(record));
  renameSync(whole, fileOf(dir, record.name));
}

/** Removes a record, unless another process has taken its name since. */
export function removePidFile(dir: string, record: PidRecord): void {
  const now = readPidFile(dir, record.name);
  if (now === null || (now.pid === record.pid && now.identity === record.identity)) {
    rmSync(fileOf(dir, record.name), { force: true });
  }
}

export function readPidFile(dir: string, name: string): PidRecord | null {
  try {
    return JSON.parse(readFileSync(fileOf(dir, name), 'utf8')) as PidRecord;
  } catch {
    return null;
  }
}

/** All records whose process still runs, the first to end first. Those of ended processes are removed. */
export function runningRecords(dir: string): PidRecord[] {
  let names: string[];
  try {
    names = readdirSync(folder(dir)).filter((file) => file.endsWith('.json'));
  } catch {
    return [];
  }
  const records = names.map((file) => readPidFile(dir, file.slice(0, -'.json'.length))).filter((r) => r !== null);
  for (const record of records) if (!isSame(record.pid, record.identity)) removePidFile(dir, record);
  return records.filter((r) => isSame(r.pid, r.identity)).sort((a, b) => b.rank - a.rank);
}

/** Sends a signal to exactly this process. False when it has already ended. Throws a sentence when it is not ours. */
export function signalRecord(record: PidRecord, signal: NodeJS.Signals): boolean {
  if (!isSame(record.pid, record.identity)) return false;
  try {
    process.kill(record.pid, signal);
    return true;
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === 'ESRCH') return false;
    throw new Error(`${record.name} (pid ${record.pid}) cannot be ended: ${code}; it belongs to another user.`);
  }
}

/** Ends a process: its stop signal, then SIGKILL past its grace. Returns when it is gone. */
export async function endRecord(
  dir: string,
  record: PidRecord,
  first: NodeJS.Signals = record.stopSignal,
): Promise<void> {
  const gone = () => !isSame(record.pid, record.identity);
  if (signalRecord(record, first) && !(await poll(gone, { withinMs: record.graceMs, everyMs: 20 }))) {
    signalRecord(record, 'SIGKILL');
    if (!(await poll(gone, { withinMs: 5_000, everyMs: 20 }))) {
      throw new Error(`${record.name} (pid ${record.pid}) does not end, not even by SIGKILL.`);
    }
  }
  removePidFile(dir, record);
}
