/** A disk without room, for one process: no file of it may grow any more (RLIMIT_FSIZE, by util-linux' prlimit). */
import { execFileSync } from 'node:child_process';

/** From now on every write behind a file's first byte fails, as it does where a disk is full. Throws where prlimit is missing. */
export function fillDisk(pid: number): void {
  execFileSync('prlimit', ['--pid', String(pid), '--fsize=1']);
}
