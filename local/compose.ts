/** The way by Docker: our docker-compose.yml, by `docker compose` or the older `docker-compose`. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { splitAddress } from './fitness/kafka.ts';
import { ROOT } from './places.ts';
import type { LocalSettings } from './settings.ts';
import { Stopped } from './wait.ts';

export type ComposeService = 'kafka' | 'redis' | 'postgres';

const ENGINE_ANSWERS_WITHIN_MS = 3_000;
/** A pull that is blocked on the way may hang for ever; a slow one of these images takes some minutes. */
const UP_WITHIN_MS = 15 * 60_000;
const DOWN_WITHIN_MS = 120_000;

type Run = { withinMs: number; env?: NodeJS.ProcessEnv; show?: boolean; signal?: AbortSignal };

/** The exit code; null when it cannot be started, takes too long or the command is stopped. */
function run(command: string, args: string[], { withinMs, env, show = false, signal }: Run): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      env: env ?? process.env,
      stdio: show ? ['ignore', 'inherit', 'inherit'] : 'ignore',
    });
    const end = () => child.kill('SIGTERM');
    const timer = setTimeout(end, withinMs);
    signal?.addEventListener('abort', end, { once: true });
    const done = (code: number | null) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve(code);
    };
    child.once('error', () => done(null));
    child.once('exit', (code) => done(code));
  });
}

/** How compose is called here, or null when no Docker engine answers or it has no compose. */
export async function findCompose(): Promise<string[] | null> {
  const quick = { withinMs: ENGINE_ANSWERS_WITHIN_MS };
  if ((await run('docker', ['info'], quick)) !== 0) return null;
  if ((await run('docker', ['compose', 'version'], quick)) === 0) return ['docker', 'compose'];
  return (await run('docker-compose', ['version'], quick)) === 0 ? ['docker-compose'] : null;
}

/** The variables of docker-compose.yml for the addresses that are set. */
export function composeEnv(settings: LocalSettings): Record<string, string> {
  const redis = new URL(settings.REDIS_URL);
  const database = new URL(settings.DATABASE_URL);
  return {
    JSMS_KAFKA_PORT: String(splitAddress(settings.KAFKA_BROKERS.split(',')[0] ?? '').port),
    JSMS_REDIS_PORT: redis.port || '6379',
    JSMS_REDIS_PASSWORD: decodeURIComponent(redis.password),
    ...(settings.LOCAL_REDIS_MAXMEMORY === '0' ? {} : { JSMS_REDIS_MAXMEMORY: settings.LOCAL_REDIS_MAXMEMORY }),
    JSMS_POSTGRES_PORT: database.port || '5432',
    JSMS_POSTGRES_USER: decodeURIComponent(database.username),
    JSMS_POSTGRES_PASSWORD: decodeURIComponent(database.password),
    JSMS_POSTGRES_DB: decodeURIComponent(database.pathname.slice(1)),
    LOCAL_KAFKA_HEAP_MB: String(settings.LOCAL_KAFKA_HEAP_MB),
  };
}

/** What was started by compose for this DATA_DIR, so that its data are found again and `down` ends it. */
const noteOf = (dir: string): string => join(dir, 'compose.json');

export function composeNote(dir: string): ComposeService[] {
  return existsSync(noteOf(dir)) ? (JSON.parse(readFileSync(noteOf(dir), 'utf8')) as ComposeService[]) : [];
}

/**
 * Starts the services of docker-compose.yml.
 * @returns false when it fails, by a pull for instance; nothing of it runs then
 */
export async function composeUp(
  compose: readonly string[],
  services: readonly ComposeService[],
  settings: LocalSettings,
  signal?: AbortSignal,
): Promise<boolean> {
  const [command = 'docker', ...first] = compose;
  const env = { ...process.env, ...composeEnv(settings) };
  const up = { withinMs: UP_WITHIN_MS, env, show: true, ...(signal ? { signal } : {}) };
  const code = await run(command, [...first, 'up', '-d', ...services], up);
  if (code === 0) {
    writeFileSync(
      noteOf(settings.DATA_DIR),
      JSON.stringify([...new Set([...composeNote(settings.DATA_DIR), ...services])]),
    );
    return true;
  }
  await run(command, [...first, 'stop', ...services], { withinMs: DOWN_WITHIN_MS, env });
  if (signal?.aborted) throw new Stopped();
  return false;
}

/** Ends services; their data stay in their volumes. */
export async function composeStop(services: readonly ComposeService[], settings: LocalSettings): Promise<void> {
  const compose = await findCompose();
  const [command, ...first] = compose ?? [];
  const env = { ...process.env, ...composeEnv(settings) };
  if (!command || (await run(command, [...first, 'stop', ...services], { withinMs: DOWN_WITHIN_MS, env })) !== 0) {
    throw new Error(`Docker does not end ${services.join(', ')}; when it answers again, \`docker compose down\` does.`);
  }
}

/** Removes what compose started for this DATA_DIR, with its volumes. */
export async function composeReset(settings: LocalSettings): Promise<void> {
  if (composeNote(settings.DATA_DIR).length === 0) return;
  const [command, ...first] = (await findCompose()) ?? [];
  const env = { ...process.env, ...composeEnv(settings) };
  if (!command || (await run(command, [...first, 'down', '-v'], { withinMs: DOWN_WITHIN_MS, env })) !== 0) {
    throw new Error(
      'The data of the last start are in Docker volumes and Docker does not answer: start it, then reset.',
    );
  }
  rmSync(noteOf(settings.DATA_DIR), { force: true });
}
