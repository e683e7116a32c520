/** A JSON file that may change while the service runs: a bad new version is refused with its reasons, the old one stays. */
import { stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { ConfigError } from './config.ts';
import { readJsonFile } from './json-file.ts';
import type { Log } from './log.ts';

const LOOK_EVERY_MS = 1_000;
const ROOT = join(import.meta.dirname, '..');

export type Parsed<T> = { ok: true; value: T } | { ok: false; problems: string[] };

export type WatchedFile<T> = { readonly value: T; close(): void };

function read<T>(path: string, parse: (json: unknown) => Parsed<T>): Parsed<T> {
  const file = readJsonFile(path);
  if (!file.ok) return file;
  const parsed = parse(file.json);
  return parsed.ok ? parsed : { ok: false, problems: parsed.problems.map((problem) => `${path}: ${problem}`) };
}

/**
 * Reads and watches a file. Throws a ConfigError with every problem when the first version is bad.
 * @param name relative names are the repository's, wherever the service was started from
 * @param onChange told of each good new version
 */
export async function watchFile<T>(
  name: string,
  parse: (json: unknown) => Parsed<T>,
  log: Log,
  onChange: (value: T) => void = () => undefined,
): Promise<WatchedFile<T>> {
  const path = isAbsolute(name) ? name : join(ROOT, name);
  const stamp = async (): Promise<string> => {
    const { mtimeMs, size, ino } = await stat(path);
    return `${mtimeMs}/${size}/${ino}`;
  };
  // Before it is read: what changes meanwhile is seen at the next look.
  let seen = await stamp().catch(() => '');
  const first = read(path, parse);
  if (!first.ok) throw new ConfigError(first.problems);
  let value = first.value;
  const look = async (): Promise<void> => {
    const now = await stamp().catch(() => seen);
    if (now === seen) return;
    seen = now;
    const next = read(path, parse);
    if (next.ok) {
      value = next.value;
      log.info('file_reloaded', { file: name });
      onChange(value);
    } else log.error('file_refused', { file: name, problems: next.problems });
  };
  const timer = setInterval(() => void look(), LOOK_EVERY_MS);
  return {
    get value() {
      return value;
    },
    close: () => clearInterval(timer),
  };
}
