/** How Linux shares its processors among what is started here. Elsewhere, and where it may not be asked for, all run as they do anyway. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

/**
 * Whose turn it is where there is too little for all. `first`: whom everybody waits for, and who needs little. `last`: whom nobody
 * waits for.
 */
export type Turn = 'first' | 'among' | 'last';

const AS_BATCH = { command: 'chrt', args: ['--batch', '0'] } as const;
let isBatchTaken: boolean | null = null;

/**
 * A program under SCHED_BATCH (sched(7)), by `chrt` of util-linux: when it wakes up it takes no processor from what is at work on it.
 * On processors that are full each then does more at a time, with caches that are warm from it. Not so who goes first: it is to take
 * one.
 */
export function asBatch(command: string, args: readonly string[], turn: Turn): { command: string; args: string[] } {
  if (turn === 'first') return { command, args: [...args] };
  isBatchTaken ??= process.platform === 'linux' && spawnSync(AS_BATCH.command, [...AS_BATCH.args, 'true']).status === 0;
  return isBatchTaken
    ? { command: AS_BATCH.command, args: [...AS_BATCH.args, command, ...args] }
    : { command, args: [...args] };
}

/** More than its part takes root or CAP_SYS_NICE; less anybody may ask for. */
const NICENESS: Readonly<Record<Turn, number>> = { first: -15, among: 0, last: 5 };

/**
 * Gives a process more or less than its part. Linux weighs sessions where it groups by them, and processes within one or where it
 * does not.
 */
export function setTurn(pid: number, turn: Turn): void {
  if (turn === 'among') return;
  try {
    setPriority(pid, NICENESS[turn]);
    writeFileSync(`/proc/${pid}/autogroup`, String(NICENESS[turn]));
  } catch {
    // It runs as all others do.
  }
}
