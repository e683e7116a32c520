/** Where things are, whatever folder a command is started from. */
import { createHash } from 'node:crypto';
import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '..');
export const POM = join(import.meta.dirname, 'pom.xml');

/** A path of a setting: absolute as it stands, else from the repository's root. */
export const fromRoot = (path: string): string => (isAbsolute(path) ? path : join(ROOT, path));

/**
 * The folder for the jars of pom.xml, shared by every checkout of this user, so that nothing is fetched twice. Where
 * there is no home to write to, it is in `dir`.
 */
export function jarsFolder(dir: string, env: Readonly<Record<string, string | undefined>> = process.env): string {
  const name = `jars-${createHash('sha256').update(readFileSync(POM)).digest('hex').slice(0, 12)}`;
  const cache = join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'jsms-gateway');
  try {
    mkdirSync(cache, { recursive: true });
    accessSync(cache, constants.W_OK);
    return join(cache, name);
  } catch {
    return join(dir, name);
  }
}
