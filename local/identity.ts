/** Which process a pid means. A pid alone is not enough: it is given again after its process has ended. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

const hasProc = existsSync('/proc/self/stat');

let boot: string | null = null;
/** Asked for once: while we run it does not change. */
function bootId(): string {
  try {
    boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return boot;
  } catch {
    return '';
  }
}

/** The fields of /proc/<pid>/stat after the command's name, which may hold blanks and brackets: state, ppid, … */
export function statFields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function identityByProc(pid: number): string | null {
  try {
    const fields = statFields(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    const [state, threads, startTicks] = [fields[0], Number(fields[17]), fields[19]];
    // A killed JVM is a zombie by its first thread while the others still hold its port.
    const ended = state === 'X' || (state === 'Z' && threads <= 1);
    return ended || !startTicks ? null : `${startTicks}@${bootId()}`;
  } catch {
    return null;
  }
}

function identityByPs(pid: number): string | null {
  try {
    const answer = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    const [state = '', ...started] = answer.split(/\s+/);
    return state === '' || state.startsWith('Z') ? null : started.join(' ');
  } catch {
    return null;
  }
}

/** When the process of this pid was started, as an opaque text; null when there is none or it has already ended. */
export const identityOf = (pid: number): string | null => (hasProc ? identityByProc(pid) : identityByPs(pid));

/** Whether exactly this process still runs, not merely one with the same number. */
export const isSame = (pid: number, identity: string): boolean => identityOf(pid) === identity;
