/** Where and with what a benchmark ran, in general words. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { POM, ROOT } from '../local/places.ts';
import { runtimeName } from '../shared/runtime.ts';
import type { Bench } from './bench.ts';

const git = (...args: string[]): string => {
  try {
    return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '';
  }
};

export function machineOf(): Record<string, string | number> {
  const all = cpus();
  return {
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    memory_gb: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${process.arch} ${release()}`,
  };
}

/** The commit, with a plus sign when the tree differs from it. */
export const commitOf = (): string =>
  `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '-uno') === '' ? '' : '+'}`;

export async function versionsOf({ redis, sql }: Bench): Promise<Record<string, string>> {
  const info = await redis.info('server');
  const [row] = await sql<{ server_version: string }[]>`SHOW server_version`;
  const kafka = /<artifactId>kafka_2\.13<\/artifactId>\s*<version>([^<]+)</.exec(readFileSync(POM, 'utf8'));
  return {
    [runtimeName]: process.versions[runtimeName] ?? '',
    kafka: kafka?.[1] ?? '',
    redis: /redis_version:(\S+)/.exec(info)?.[1] ?? '',
    postgres: row?.server_version ?? '',
  };
}
