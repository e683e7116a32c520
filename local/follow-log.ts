/** Shows what matters of a log file while it is written. */
import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from 'node:fs';

const EVERY_MS = 250;
const CHUNK_BYTES = 65_536;

/** Whether a line is worth a person's attention: a warning, an error, or what is no log line at all. */
export function isNoteworthy(line: string): boolean {
  if (!line.trim()) return false;
  try {
    const { level } = JSON.parse(line) as { level?: unknown };
    return level === 'warn' || level === 'error';
  } catch {
    return true;
  }
}

/** So many lines of a program are shown in so long a time; a server that is away makes hundreds. */
const LINES_MAX = 5;
const WINDOW_MS = 5_000;

/**
 * Lets the first lines of each while through and says how many it kept back before the next one it lets through.
 * @param now monotonic milliseconds
 */
export function createQuota(show: (line: string) => void, now: () => number): (line: string) => void {
  let windowEnd = 0;
  let shown = 0;
  let kept = 0;
  return (line) => {
    if (now() >= windowEnd) {
      windowEnd = now() + WINDOW_MS;
      if (kept > 0) show(`… and ${kept} more lines, in the log`);
      shown = 0;
      kept = 0;
    }
    if (shown < LINES_MAX) {
      shown++;
      show(line);
    } else kept++;
  };
}

export type Follower = {
  /** Reads what is there by now. */
  drain(): void;
  stop(): void;
};

/** Calls `onLine` with each whole line that is appended from now on. */
export function followLog(path: string, onLine: (line: string) => void): Follower {
  let at = existsSync(path) ? statSync(path).size : 0;
  let rest = Buffer.alloc(0);
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const drain = () => {
    if (!existsSync(path)) return;
    const file = openSync(path, 'r');
    try {
      if (fstatSync(file).size < at) at = 0;
      for (
        let got = readSync(file, chunk, 0, CHUNK_BYTES, at);
        got > 0;
        got = readSync(file, chunk, 0, CHUNK_BYTES, at)
      ) {
        at += got;
        rest = Buffer.concat([rest, chunk.subarray(0, got)]);
      }
    } finally {
      closeSync(file);
    }
    const end = rest.lastIndexOf(0x0a);
    if (end < 0) return;
    const lines = rest.subarray(0, end).toString().split('\n');
    rest = rest.subarray(end + 1);
    for (const line of lines) onLine(line);
  };
  const timer = setInterval(drain, EVERY_MS);
  timer.unref();
  return { drain, stop: () => clearInterval(timer) };
}
