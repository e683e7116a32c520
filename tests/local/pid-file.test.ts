import { afterEach, expect, test } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identityOf } from '../../local/identity.ts';
import { endLeftovers, occupy } from '../../local/occupancy.ts';
import {
  endRecord,
  ownIdentity,
  type PidRecord,
  readPidFile,
  runningRecords,
  writePidFile,
} from '../../local/pid-file.ts';

const dir = mkdtempSync(join(tmpdir(), 'jsms-pid-file-'));
const children: ChildProcess[] = [];

function start(script: string): PidRecord {
  const child = spawn('sh', ['-c', script], { stdio: 'ignore' });
  children.push(child);
  const pid = child.pid as number;
  return {
    name: `child-${pid}`,
    pid,
    identity: identityOf(pid) as string,
    address: '',
    rank: 1,
    stopSignal: 'SIGTERM',
    graceMs: 5_000,
    owner: null,
  };
}

const lives = (record: PidRecord): boolean => identityOf(record.pid) !== null;

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

test('a pid that was given to a stranger is never killed, and its file is dropped', async () => {
  const stranger = start('exec sleep 60');
  const old: PidRecord = { ...stranger, name: 'kafka', identity: 'the start time of one that is gone' };
  writePidFile(dir, old);
  await endRecord(dir, old);
  expect(lives(stranger)).toBe(true);
  expect(readPidFile(dir, 'kafka')).toBeNull();
  writePidFile(dir, old);
  expect(runningRecords(dir)).toEqual([]);
  expect(lives(stranger)).toBe(true);
});

test('what does not end by its signal is killed past its grace', async () => {
  const deaf = start("trap '' TERM; while :; do sleep 0.05; done");
  writePidFile(dir, deaf);
  await endRecord(dir, { ...deaf, graceMs: 300 });
  expect(lives(deaf)).toBe(false);
  expect(runningRecords(dir)).toEqual([]);
});

test('an ended process does not take the file of the one that has its name now', async () => {
  const now = start('exec sleep 60');
  writePidFile(dir, { ...now, name: 'redis' });
  await endRecord(dir, { ...now, name: 'redis', identity: 'of the one before' });
  expect(readPidFile(dir, 'redis')?.pid).toBe(now.pid);
});

test('what uses a server ends before the server', () => {
  for (const [name, rank] of [
    ['kafka', 10],
    ['gateway', 24],
    ['billing', 21],
  ] as const) {
    writePidFile(dir, { ...start('exec sleep 60'), name, rank });
  }
  expect(runningRecords(dir).map(({ name }) => name)).toEqual(['gateway', 'billing', 'kafka']);
});

test('the leftovers of a killed command are ended; what stays until `down` and what has an owner are not', async () => {
  const killed = start('exec sleep 60');
  const owner = { pid: killed.pid, identity: killed.identity };
  const [left, background, owned] = [start('exec sleep 60'), start('exec sleep 60'), start('exec sleep 60')];
  writePidFile(dir, { ...left, owner });
  writePidFile(dir, background);
  writePidFile(dir, { ...owned, owner: ownIdentity() });
  await endRecord(dir, killed);
  expect(await endLeftovers(dir)).toEqual([left.name]);
  expect([left, background, owned].map(lives)).toEqual([false, true, true]);
});

test('a second `up` for the same folder is refused with a sentence, until the first is gone', () => {
  const release = occupy(dir, 'up');
  expect(() => occupy(dir, 'infra')).toThrow(/`bun run up` is at work for .* \(pid \d+\); `bun run down` ends it/);
  release();
  occupy(dir, 'infra')();
});
