/**
 * What it takes to read from memory while something is measured. A shared machine's cores are as fast as its neighbours let them be: who
 * shares the host's cache and memory makes each miss of a core's own caches dearer, and most of what a message costs is such misses.
 * Nothing in /proc tells; the probe's process does.
 */
import { startChild } from './child.ts';

/** What the probe has told since its start: how often, and the sum, nanoseconds a read. */
export type Reads = { count: number; totalNs: number };

export type MemoryProbe = {
  readonly pid: number;
  read(): Reads;
  close(): Promise<void>;
};

/** The mean between two readings, nanoseconds; 0 where the probe told nothing. Pure. */
export const latencyNs = (before: Reads, after: Reads): number =>
  after.count > before.count ? (after.totalNs - before.totalNs) / (after.count - before.count) : 0;

/** Starts the probe's process. A probe that ends is no failure: there is no latency to tell then. */
export function startMemoryProbe(): MemoryProbe {
  const reads: Reads = { count: 0, totalNs: 0 };
  const child = startChild('memory-probe.ts', (line) => {
    reads.count += 1;
    reads.totalNs += Number(line);
  });
  return { pid: child.process.pid ?? 0, read: () => ({ ...reads }), close: child.close };
}
