/** Waits until a process is gone, then ends what the pid files of a temporary folder name and removes the folder. */
import { existsSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isSame } from '../identity.ts';
import { endRecord, runningRecords } from '../pid-file.ts';

const [dir, pid, identity] = process.argv.slice(2);
if (!dir || !pid || identity === undefined) throw new Error('usage: watchdog <folder> <pid> <start time>');

// Only the end of that process counts; a Ctrl-C that reaches everybody must not.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

while (existsSync(dir) && isSame(Number(pid), identity)) await delay(250);
// Without the folder everything was ended in order.
if (!existsSync(dir)) process.exit(0);
// A server may have been spawned in the very moment of the end.
for (let rounds = 0; rounds < 2; rounds++) {
  await Promise.all(runningRecords(dir).map((record) => endRecord(dir, record).catch(() => undefined)));
  await delay(250);
}
rmSync(dir, { recursive: true, force: true });
