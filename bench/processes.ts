/** What processes cost, from Linux' /proc: CPU with everything a program has started, and memory. */
import { readdirSync, readFileSync } from 'node:fs';
import { statFields } from '../local/identity.ts';

/** USER_HZ: the unit of the times in /proc/<pid>/stat; 100 on every Linux that user programs see. */
const TICK_US = 10_000;

/** One process by its line in /proc: times in ticks, those of children that have ended apart. */
export type ProcStat = { pid: number; parent: number; own: number; endedChildren: number };

/** Reads the text of /proc/<pid>/stat (proc(5)). Pure. */
export function parseStat(pid: number, text: string): ProcStat {
  const fields = statFields(text);
  const field = (n: number): number => Number(fields[n]);
  return { pid, parent: field(1), own: field(11) + field(12), endedChildren: field(13) + field(14) };
}

/**
 * CPU of a process and everything below it, ticks: what runs, and what its running members have seen end. Pure.
 * PostgreSQL's backends, and Redis' children that rewrite the append-only file, come and go; none is lost or counted twice.
 */
export function treeTicks(root: number, all: readonly ProcStat[]): number {
  const byParent = new Map<number, ProcStat[]>();
  for (const one of all) byParent.set(one.parent, [...(byParent.get(one.parent) ?? []), one]);
  const sum = (stat: ProcStat): number =>
    stat.own + stat.endedChildren + (byParent.get(stat.pid) ?? []).reduce((total, child) => total + sum(child), 0);
  const found = all.find(({ pid }) => pid === root);
  return found ? sum(found) : 0;
}

function treePids(root: number, all: readonly ProcStat[]): number[] {
  const children = all.filter(({ parent }) => parent === root).flatMap(({ pid }) => treePids(pid, all));
  return [root, ...children];
}

function readAll(): ProcStat[] {
  const stats: ProcStat[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      stats.push(parseStat(Number(name), readFileSync(`/proc/${name}/stat`, 'utf8')));
    } catch {
      // It ended between the listing and the reading.
    }
  }
  return stats;
}

/** Proportional memory where it can be read (PostgreSQL's processes share theirs), else the resident set; bytes. */
function memoryOf(pid: number): number {
  const kilobytes = (file: string, name: string): number => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/${file}`, 'utf8'));
    if (!found) throw new Error(`${name} is not there`);
    return Number(found[1]) * 1_024;
  };
  for (const [file, name] of [
    ['smaps_rollup', 'Pss'],
    ['status', 'VmRSS'],
  ] as const) {
    try {
      return kilobytes(file, name);
    } catch {
      // Not readable by us, or ended.
    }
  }
  return 0;
}

export type Usage = { cpuUs: number; memoryBytes: number };
/** Usage by name since each process' start. */
export type Snapshot = Record<string, Usage>;

/** Throws where there is no /proc. */
export function usageOf(pids: Readonly<Record<string, number>>, withMemory = false): Snapshot {
  const all = readAll();
  return Object.fromEntries(
    Object.entries(pids).map(([name, pid]) => [
      name,
      {
        cpuUs: treeTicks(pid, all) * TICK_US,
        memoryBytes: withMemory ? treePids(pid, all).reduce((sum, one) => sum + memoryOf(one), 0) : 0,
      },
    ]),
  );
}

/** CPU of the whole machine since its start: what was used and what was lost to other machines on the host, microseconds. */
export function machineCpu(): { busyUs: number; stolenUs: number; totalUs: number } {
  const line = readFileSync('/proc/stat', 'utf8').split('\n')[0] as string;
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, stolen = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  const busy = user + nice + system + irq + soft;
  return { busyUs: busy * TICK_US, stolenUs: stolen * TICK_US, totalUs: (busy + idle + wait + stolen) * TICK_US };
}
