/** How Linux shares its processors among what is started here. Elsewhere, and where it may not be asked for, all run as they do anyway. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

const AS_BATCH = { command: 'chrt', args: ['--batch', '0'] } as const;
let isBatchTaken: boolean | null = null;

/**
 * A program under SCHED_BATCH (sched(7)), by `chrt` of util-linux: when it wakes up it takes no processor from what is at work on it.
 * On processors that are full each then does more at a time, with caches that are warm from it.
 */
export function asBatch(command: string, args: readonly string[]): { command: string; args: string[] } {
  isBatchTaken ??= process.platform === 'linux' && spawnSync(AS_BATCH.command, [...AS_BATCH.args, 'true']).status === 0;
  return isBatchTaken
    ? { command: AS_BATCH.command, args: [...AS_BATCH.args, command, ...args] }
    : { command, args: [...args] };
}

const NICENESS = 5;

/**
 * Less than its part for a process, where there is too little for all. Linux weighs sessions where it groups by them, and processes
 * within one or where it does not.
 */
export function giveWay(pid: number): void {
  try {
    setPriority(pid, NICENESS);
    writeFileSync(`/proc/${pid}/autogroup`, String(NICENESS));
  } catch {
    // It runs as all others do.
  }
}
