/** The hottest functions of a CPU profile (the .cpuprofile format of V8's tools, which Bun writes as well). */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../local/places.ts';

type ProfileNode = {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number };
  children?: number[];
};
export type CpuProfile = { nodes: ProfileNode[]; samples: number[] };

export type Hot = {
  /** The function and its file. */
  where: string;
  /** Parts of all samples, 0 to 1: in the function itself, and with everything it called. */
  self: number;
  total: number;
};

function placeOf({ callFrame }: ProfileNode): string {
  const { functionName, url, lineNumber } = callFrame;
  const path = url.startsWith('file:') ? fileURLToPath(url) : url;
  const short = path.startsWith(ROOT) ? path.slice(ROOT.length + 1).replace(/^node_modules\//, '') : path;
  return `${functionName || '(anonymous)'}${short ? ` ${short}:${lineNumber + 1}` : ''}`;
}

/**
 * Functions by their own share of the samples; one that calls itself counts once in its total. Samples are counted rather than
 * their distances added: Bun takes none while it idles, so that a distance may be an idle second. Pure.
 */
export function hottest({ nodes, samples }: CpuProfile): Hot[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parent = new Map<number, number>();
  for (const { id, children = [] } of nodes) for (const child of children) parent.set(child, id);
  const self = new Map<string, number>();
  const total = new Map<string, number>();
  const places = new Map(nodes.map((node) => [node.id, placeOf(node)]));
  const spent = new Map<number, number>();
  let all = 0;
  for (const id of samples) spent.set(id, (spent.get(id) ?? 0) + 1);
  for (const [id, count] of spent) {
    if (byId.get(id)?.callFrame.functionName === '(idle)') continue;
    all += count;
    const own = places.get(id) as string;
    self.set(own, (self.get(own) ?? 0) + count);
    const stack = new Set<string>();
    for (let at: number | undefined = id; at !== undefined; at = parent.get(at)) stack.add(places.get(at) as string);
    for (const place of stack) total.set(place, (total.get(place) ?? 0) + count);
  }
  return [...total]
    .map(([where, count]) => ({ where, self: (self.get(where) ?? 0) / all, total: count / all }))
    .sort((a, b) => b.self - a.self);
}

/** The package, or our own file, that a frame belongs to; null for what has no file. */
function moduleOf({ callFrame: { url } }: ProfileNode): string | null {
  if (!url) return null;
  const path = url.startsWith('file:') ? fileURLToPath(url) : url;
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1];
  if (inPackage) return inPackage;
  return path.startsWith(ROOT) ? path.slice(ROOT.length + 1) : path;
}

/**
 * Samples by package and by our own files, parts of 1: what a native function (a write, a JSON.parse) takes belongs to the
 * nearest caller that has a file. Pure.
 */
export function byModule({ nodes, samples }: CpuProfile): { module: string; part: number }[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parent = new Map<number, number>();
  for (const { id, children = [] } of nodes) for (const child of children) parent.set(child, id);
  const owners = new Map<number, string>();
  const ownerOf = (id: number): string => {
    const known = owners.get(id);
    if (known !== undefined) return known;
    const above = parent.get(id);
    const own = moduleOf(byId.get(id) as ProfileNode);
    const found = own ?? (above === undefined ? 'the runtime' : ownerOf(above));
    owners.set(id, found);
    return found;
  };
  const counts = new Map<string, number>();
  let all = 0;
  for (const id of samples) {
    if (byId.get(id)?.callFrame.functionName === '(idle)') continue;
    all += 1;
    counts.set(ownerOf(id), (counts.get(ownerOf(id)) ?? 0) + 1);
  }
  return [...counts].map(([module, n]) => ({ module, part: n / all })).sort((a, b) => b.part - a.part);
}

const percent = (part: number): string => `${(part * 100).toFixed(1).padStart(5)} %`;

/** A few lines per profile in the folder: what takes the most, by module and by function. */
export function hotLines(folder: string, count = 12): string[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
  return files.sort().flatMap((file) => {
    const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile;
    const modules = byModule(profile).slice(0, count);
    const functions = hottest(profile).slice(0, count);
    return [
      `${basename(file, '.cpuprofile')}, ${profile.samples.length} samples:`,
      ...modules.map(({ module, part }) => `  ${percent(part)}  ${module}`),
      ...functions.map(({ where, self, total }) => `  ${percent(self)} self ${percent(total)} total  ${where}`),
    ];
  });
}
