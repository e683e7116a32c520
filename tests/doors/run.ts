/**
 * `bun run test:doors`: each service's own OpenAPI document against the service itself, on a real stack with keys required.
 *
 *   bun run test:doors [service …] [--cases 5000] [--seed 1]
 *
 * Prints one line a service; a finding (a 5xx, an answer that its document does not know, bad data taken, good data refused, a
 * door open without a key) is named below it and makes the command fail.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { turn } from '../../bench/operators.ts';
import { type Stack, startStack } from '../../bench/stack.ts';
import { type CommandScope, runCommand, say } from '../../local/command.ts';
import { createKey } from '../../shared/keys.ts';
import { connected, connectRedis } from '../../shared/redis.ts';
import { findSchemathesis, runSchemathesis, type Words } from './schemathesis.ts';

const SERVICES = ['billing', 'gateway', 'dispatcher', 'report'] as const;
type Service = (typeof SERVICES)[number];

/** At each service; the phases of examples and of coverage, which have a number of their own, come on top. */
const CASES = 5_000;
const ACCOUNT = '123';
const PHONES = ['09121234567', '+989351234567', '9201234567'];
/** Random calls discard some of them. */
const DEAD_LETTERS = 20;
const SEEN_WITHIN_MS = 20_000;
const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

function readFlags(argv: readonly string[]): { services: readonly Service[]; cases: number; seed: number } {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { cases: { type: 'string' }, seed: { type: 'string' } },
  });
  const whole = (name: string, raw: string | undefined, fallback: number): number => {
    if (raw === undefined) return fallback;
    if (!/^[0-9]{1,9}$/.test(raw)) throw new Error(`--${name}: must be a whole number`);
    return Number(raw);
  };
  for (const name of positionals) {
    if (!(SERVICES as readonly string[]).includes(name))
      throw new Error(`${name} is no service; there are ${SERVICES.join(', ')}`);
  }
  return {
    services: positionals.length === 0 ? SERVICES : (positionals as Service[]),
    cases: whole('cases', values.cases, CASES),
    seed: whole('seed', values.seed, Math.floor(Math.random() * 1_000_000)),
  };
}

/** How many routes of a document have something to be random about. */
async function randomRoutes(url: string): Promise<number> {
  const { paths } = (await (await fetch(`${url}/swagger/json`)).json()) as {
    paths: Record<string, Record<string, Route>>;
  };
  const routes = Object.values(paths).flatMap((methods) => Object.values(methods));
  return routes.filter(({ parameters = [], requestBody }) => parameters.length > 0 || requestBody).length;
}
type Route = { parameters?: unknown[]; requestBody?: unknown };

async function adminKey(redisUrl: string): Promise<string> {
  const redis = connectRedis(redisUrl, SILENT);
  try {
    await connected(redis);
    const wish = { scopes: ['admin' as const], user: null, operator: null, allow: [], expires_at: null, note: 'doors' };
    return (await createKey(redis, wish, Date.now())).key;
  } finally {
    redis.disconnect();
  }
}

type Call = (service: Service, method: string, path: string, json?: unknown) => Promise<unknown>;

/** An account with money, a message that was sent, and a dead letter: what a client of these doors would know. */
async function furnish(stack: Stack, call: Call): Promise<Words> {
  await call('billing', 'POST', `/charge/${ACCOUNT}?amount=100000000`);
  const send = (phone: string, text: string): Promise<unknown> =>
    call('gateway', 'POST', '/send', { phone, text, user_id: ACCOUNT, type: 'express' });
  const sent = (await send('09121234567', 'hello')) as { message_id: string };
  await turn(stack, 'Rightel', { rules: [{ outcome: 'transient' }] });
  for (let n = 0; n < DEAD_LETTERS; n++) await send(`092012345${n + 10}`, 'hello');
  const until = performance.now() + SEEN_WITHIN_MS;
  let letters: { message_id: string }[] = [];
  while (letters.length < DEAD_LETTERS) {
    if (performance.now() > until) throw new Error('the dead letters did not come to be in time');
    await delay(200);
    letters = ((await call('report', 'GET', '/dead-letters')) as { items: { message_id: string }[] }).items;
  }
  await turn(stack, 'Rightel', { rules: [] });
  return {
    values: [...PHONES, ACCOUNT, 'MCI', 'express', 'normal'],
    ids: [sent.message_id],
    deadLetters: letters.map(({ message_id }) => message_id),
  };
}

async function testDoors({ signal, defer }: CommandScope): Promise<number> {
  const { services, cases, seed } = readFlags(process.argv.slice(2));
  const program = findSchemathesis(say);
  const env = { AUTH: 'required', INTERNAL_KEY: 'internal-key-of-the-doors-0123456789abcdef' };
  const options = { connector: 'http' as const, unknownWaitS: 10, retryWaits: '0.1,0.1,0.1', profileDir: null };
  const stack = await startStack({ ...options, env, signal, say, defer });
  const key = await adminKey(stack.servers.env.REDIS_URL);
  const call: Call = async (service, method, path, json) => {
    const answer = await fetch(stack.urls[service] + path, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    });
    if (!answer.ok) throw new Error(`${service} ${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json().catch(() => null);
  };
  const words = await furnish(stack, call);
  const dir = mkdtempSync(join(tmpdir(), 'jsms-doors-'));
  say(`Every check of schemathesis, ${cases} random cases a service, seed ${seed}; logs in ${dir}`);
  let findings = 0;
  for (const service of services) {
    if (signal.aborted) return 130;
    const examples = Math.ceil(cases / (await randomRoutes(stack.urls[service])));
    const run = await runSchemathesis(program, {
      ...{ service, url: stack.urls[service], key, words, examples, seed, dir, signal },
    });
    findings += run.findings.length;
    const outcome = run.findings.length === 0 ? 'no finding' : `${run.findings.length} kinds of findings, ${run.log}`;
    say(`${service}: ${run.cases} cases over ${run.operations} routes in ${run.seconds} s: ${outcome}`);
    for (const finding of run.findings) say(`  ${finding}`);
  }
  return findings === 0 ? 0 : 1;
}

await runCommand(testDoors);
