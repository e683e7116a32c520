/**
 * How fast the cores were while something was measured. A virtual machine's core is often one of two hardware threads of a real one: the
 * same work then takes up to twice the CPU while a neighbour uses the other, and nothing in /proc tells. The probe's process does.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** What the probe's bursts took since its start; `fastestUs` is of them all. Microseconds of CPU. */
export type Bursts = { count: number; totalUs: number; fastestUs: number };

export type CoreProbe = {
  readonly pid: number;
  read(): Bursts;
  close(): Promise<void>;
};

/** The mean speed between two readings, percent of the fastest burst that was seen until the second; 0 where there was none. Pure. */
export function speedPercent(before: Bursts, after: Bursts): number {
  const [count, totalUs] = [after.count - before.count, after.totalUs - before.totalUs];
  return totalUs > 0 ? (after.fastestUs / (totalUs / count)) * 100 : 0;
}

/** Starts the probe's process. A probe that ends is no failure: there is no speed to tell then. */
export function startCoreProbe(): CoreProbe {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'core-probe.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  const exited = once(child, 'exit');
  exited.catch(() => undefined);
  const bursts: Bursts = { count: 0, totalUs: 0, fastestUs: Number.POSITIVE_INFINITY };
  createInterface({ input: child.stdout }).on('line', (line) => {
    const us = Number.parseInt(line, 10);
    bursts.count += 1;
    bursts.totalUs += us;
    bursts.fastestUs = Math.min(bursts.fastestUs, us);
  });
  child.stdin.on('error', () => undefined);
  return {
    pid: child.pid ?? 0,
    read: () => ({ ...bursts }),
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.stdin.end();
      await exited;
    },
  };
}
