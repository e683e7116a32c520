/**
 * The Kafka, Redis and PostgreSQL of the tests: those that `bun run test` started, or, under a bare `bun test`, a set that
 * the first test to ask starts and that ends with the test run.
 */
import { setDefaultTimeout } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identityOf } from '../../local/identity.ts';

export type Infra = { kafkaBrokers: string; redisUrl: string; databaseUrl: string };
export type InfraEnv = { KAFKA_BROKERS: string; REDIS_URL: string; DATABASE_URL: string };

/** The variable by which `bun run test` says that the three addresses in the environment are for the tests. */
export const TEST_INFRA = 'JSMS_TEST_INFRA';
const STARTER = join(import.meta.dirname, '..', '..', 'local', 'commands', 'test-servers.ts');
const START_WITHIN_MS = 300_000;
/** As `bun run test` gives; a bare `bun test` has 5 s, and bunfig.toml knows no such setting. */
const TEST_TIMEOUT_MS = 30_000;

/** The test run: this process, or, in a worker of `bun test --parallel`, the one that started it. */
function testRun(): { pid: number; identity: string } {
  const pid = process.env.BUN_TEST_WORKER_ID ? process.ppid : process.pid;
  return { pid, identity: identityOf(pid) ?? '' };
}

const pause = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/**
 * Starts the servers of this run, once: `bun test --isolate` forgets what a file has loaded and `--parallel` has several
 * processes, so the folder is named by the run and made by the first to come. Waits without an await, so that a module
 * may ask at its top level.
 */
function startOnce(): InfraEnv {
  const { pid, identity } = testRun();
  const dir = join(tmpdir(), `jsms-gateway-test-${pid}-${identity.replace(/\D+.*/, '')}`);
  const answer = join(dir, 'servers.json');
  const failed = join(dir, 'failed');
  try {
    mkdirSync(dir);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
    for (const until = Date.now() + START_WITHIN_MS; !existsSync(answer); pause(50)) {
      if (Date.now() > until || existsSync(failed)) throw new Error('the servers of the tests did not start');
    }
    return JSON.parse(readFileSync(answer, 'utf8')) as InfraEnv;
  }
  const started = spawnSync(process.execPath, [STARTER, dir, String(pid), identity], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    timeout: START_WITHIN_MS,
  });
  if (started.status !== 0) {
    writeFileSync(failed, '');
    throw new Error('the servers of the tests did not start; the reason stands above');
  }
  // Renamed, so that the name appears with its whole content.
  writeFileSync(`${answer}.new`, started.stdout);
  renameSync(`${answer}.new`, answer);
  return JSON.parse(started.stdout) as InfraEnv;
}

/**
 * The addresses of real servers for tests; the first call under a bare `bun test` starts them (about 5 s), before that
 * nothing runs. Programs that a test starts inherit them by the environment. Called at the top of a test file, it also
 * gives the file's tests the time that real servers need.
 */
export function infra(): Infra {
  setDefaultTimeout(TEST_TIMEOUT_MS);
  if (!process.env[TEST_INFRA]) Object.assign(process.env, startOnce(), { [TEST_INFRA]: '1' });
  const { KAFKA_BROKERS = '', REDIS_URL = '', DATABASE_URL = '' } = process.env;
  return { kafkaBrokers: KAFKA_BROKERS, redisUrl: REDIS_URL, databaseUrl: DATABASE_URL };
}
