/** A process of the bench's own that talks by lines. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export type Child = {
  process: ChildProcessByStdio<Writable, Readable, null>;
  /** Closes its input, which is its end, and waits for that. */
  close(): Promise<void>;
};

/** @param script its file, from the bench's folder */
export function startChild(script: string, onLine: (line: string) => void): Child {
  const child = spawn(process.execPath, [join(import.meta.dirname, script)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // A session of its own: Ctrl-C is the bench's alone.
    detached: true,
  });
  const exited = once(child, 'exit');
  exited.catch(() => undefined);
  child.stdin.on('error', () => undefined);
  createInterface({ input: child.stdout }).on('line', onLine);
  return {
    process: child,
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.stdin.end();
      await exited;
    },
  };
}
