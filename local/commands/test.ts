/** `bun run test`: its own Kafka, Redis and PostgreSQL, then `bun test` with the arguments given, then nothing is left. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { type CommandScope, runCommand, say } from '../command.ts';
import { identityOf } from '../identity.ts';
import { ownIdentity, writePidFile } from '../pid-file.ts';
import { ROOT } from '../places.ts';
import { startTemporaryServers } from '../servers/all.ts';
import { createReasons, readSummary } from '../test-summary.ts';

/** Past this a run hangs; an end with a reason is better than one by whoever waits for it. */
const RUN_MAX_MS = 36 * 60_000;
const KILL_AFTER_MS = 10_000;
/** Of a test and of its hooks. bun's own 5 s are too few for a start of servers, and bunfig.toml knows no such setting. */
const TEST_TIMEOUT_MS = 30_000;
const SUMMARY_CHARS = 20_000;
/** Ended before the servers. */
const RANK = 50;

type Ended = { code: number; printed: string; reasons: readonly string[] };

/** Runs `bun test`, showing what it prints. Ends it at a signal and past the longest time. */
function runBunTest(args: string[], dir: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Ended> {
  const colours = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};
  const tests = spawn(process.execPath, ['test', '--timeout', String(TEST_TIMEOUT_MS), ...args], {
    cwd: ROOT,
    env: { ...env, ...colours },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const pid = tests.pid ?? 0;
  // Where the watchdog of the folder finds it, should this process be killed.
  writePidFile(dir, {
    name: 'tests',
    pid,
    identity: identityOf(pid) ?? '',
    address: '',
    rank: RANK,
    stopSignal: 'SIGTERM',
    graceMs: KILL_AFTER_MS,
    owner: ownIdentity(),
  });
  let printed = '';
  const reasons = createReasons();
  tests.stdout.on('data', (chunk: Buffer) => process.stdout.write(chunk));
  tests.stderr.on('data', (chunk: Buffer) => {
    process.stderr.write(chunk);
    const text = chunk.toString();
    printed = (printed + text).slice(-SUMMARY_CHARS);
    reasons.add(text);
  });
  const end = () => {
    tests.kill('SIGTERM');
    setTimeout(() => tests.kill('SIGKILL'), KILL_AFTER_MS).unref();
  };
  const limit = setTimeout(() => {
    say(`The tests take longer than ${RUN_MAX_MS / 60_000} minutes and are ended.`);
    end();
  }, RUN_MAX_MS);
  signal.addEventListener('abort', end, { once: true });
  return new Promise((resolve, reject) => {
    tests.once('error', reject);
    tests.once('close', (code) => {
      clearTimeout(limit);
      resolve({ code: code ?? 1, printed, reasons: reasons.list() });
    });
  });
}

async function test({ signal, defer }: CommandScope): Promise<number> {
  const started = performance.now();
  say('Starting Kafka, Redis and PostgreSQL for the tests …');
  const servers = await startTemporaryServers({ progress: say, signal });
  let last = '';
  defer(async () => {
    await servers.stop();
    if (last) say(last);
  });
  say(`  ready after ${((performance.now() - started) / 1_000).toFixed(1)} s`);
  const env = { ...process.env, ...servers.env, JSMS_TEST_INFRA: '1', DATA_DIR: join(servers.dir, 'services') };
  const { code, printed, reasons } = await runBunTest(process.argv.slice(2), servers.dir, env, signal);
  const { passed, failed } = readSummary(printed);
  for (const reason of reasons) say(`\nWhat failed, once more:\n${reason}`);
  if (passed + failed === 0) say('No tests were run.');
  last = `${passed} passed, ${failed} failed`;
  if (signal.aborted) return 130;
  return code || (failed > 0 || passed === 0 ? 1 : 0);
}

await runCommand(test);
