/** The way by Docker: our docker-compose.yml, by `docker compose` or the older `docker-compose`. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
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
type Note = {
  /** null in a note of an older version, which started everything under the name in docker-compose.yml. */
  project: string | null;
  services: ComposeService[];
};

const noteOf = (dir: string): string => join(dir, 'compose.json');

/** A project of its own for each DATA_DIR: in a shared one, a second set would take the first one's containers and volumes. */
const projectOf = (dir: string): string =>
  `jsms-gateway-${createHash('sha256').update(realpathSync(dir)).digest('hex').slice(0, 12)}`;

function readNote(dir: string): Note | null {
  if (!existsSync(noteOf(dir))) return null;
  const written = JSON.parse(readFileSync(noteOf(dir), 'utf8')) as Note | ComposeService[];
  if (Array.isArray(written)) return { project: null, services: written };
  // In a copy of a folder the note is that of the original, whose servers and data are not ours.
  if (written.project !== null && written.project !== projectOf(dir)) {
    throw new Error(
      `${dir} was moved or copied: its data in Docker belong to the project ${written.project} of another folder. Move it back, or remove ${noteOf(dir)} to begin anew in Docker.`,
    );
  }
  return written;
}

const noteFor = (dir: string): Note => readNote(dir) ?? { project: projectOf(dir), services: [] };

function noteDown(dir: string, services: readonly ComposeService[]): void {
  const { project, services: before } = noteFor(dir);
  writeFileSync(noteOf(dir), JSON.stringify({ project, services: [...new Set([...before, ...services])] }));
}

export const composeNote = (dir: string): ComposeService[] => readNote(dir)?.services ?? [];

/** Whether an older version put the data where other folders, and what is started by hand, have theirs. */
export const sharesVolumes = (dir: string): boolean => readNote(dir)?.project === null;

/** How compose is called for this DATA_DIR. */
export function forFolder(compose: readonly string[], dir: string): string[] {
  const { project } = noteFor(dir);
  return project === null ? [...compose] : [...compose, '-p', project];
}

function runCompose(
  compose: readonly string[],
  args: readonly string[],
  settings: LocalSettings,
  how: Run,
): Promise<number | null> {
  const [command = 'docker', ...first] = forFolder(compose, settings.DATA_DIR);
  return run(command, [...first, ...args], { ...how, env: { ...process.env, ...composeEnv(settings) } });
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
  const up = { withinMs: UP_WITHIN_MS, show: true, ...(signal ? { signal } : {}) };
  if ((await runCompose(compose, ['up', '-d', ...services], settings, up)) === 0) {
    noteDown(settings.DATA_DIR, services);
    return true;
  }
  await runCompose(compose, ['stop', ...services], settings, { withinMs: DOWN_WITHIN_MS });
  if (signal?.aborted) throw new Stopped();
  return false;
}

/** Ends services; their data stay in their volumes. */
export async function composeStop(services: readonly ComposeService[], settings: LocalSettings): Promise<void> {
  const compose = await findCompose();
  const how = { withinMs: DOWN_WITHIN_MS };
  if (!compose || (await runCompose(compose, ['stop', ...services], settings, how)) !== 0) {
    const byHand = forFolder(compose ?? ['docker', 'compose'], settings.DATA_DIR).join(' ');
    throw new Error(
      `Docker does not end ${services.join(', ')}; when it answers again, \`${byHand} stop ${services.join(' ')}\` does.`,
    );
  }
}

/**
 * Removes what compose started for this DATA_DIR, with its volumes. What an older version started is only ended, as
 * nobody knows who else has data in its volumes; the next start has its own.
 */
export async function composeReset(settings: LocalSettings): Promise<void> {
  const note = readNote(settings.DATA_DIR);
  if (!note) return;
  if (note.project === null) await composeStop(note.services, settings);
  else if (!(await removeServices(note.project, note.services, settings))) {
    throw new Error(
      'The data of the last start are in Docker volumes and Docker does not remove them: see that it answers, then reset.',
    );
  }
  rmSync(noteOf(settings.DATA_DIR));
}

/** By name and not by `down -v`, which takes all of a project and, in older versions, knows no services. */
async function removeServices(project: string, services: readonly ComposeService[], settings: LocalSettings) {
  const how = { withinMs: DOWN_WITHIN_MS };
  const compose = await findCompose();
  if (!compose || (await runCompose(compose, ['rm', '-s', '-f', '-v', ...services], settings, how)) !== 0) return false;
  const volumes = services.map((service) => `${project}_${service}-data`);
  return (await run('docker', ['volume', 'rm', '-f', ...volumes], how)) === 0;
}
