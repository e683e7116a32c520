/**
 * The whole product against an SMPP server that is not ours: jSMPP's SMPPServerSimulator 3.0.0, which answers submits with ids in
 * hexadecimal, sends its receipts a second later with the same ids in decimal, as text alone, and takes transceivers only.
 *
 * It needs Java and Maven and fetches the server (a few MB), so it is not part of `bun run test`:
 *
 *   bun test ./tests/operators/foreign-smsc.ts
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { freePort, isListening } from '../../local/ports.ts';
import { temporaryDir } from '../../local/servers/all.ts';
import type { Message } from '../support/api.ts';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';
import { isBound, operatorState, sendAll } from './scene.ts';

const FETCH_WITHIN_MS = 180_000;
const port = await freePort();
let server: ChildProcess | null = null;
let printed = '';

function fetchServer(): string {
  const folder = temporaryDir();
  const pom = join(import.meta.dirname, 'jsmpp', 'pom.xml');
  const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${folder}`];
  const maven = spawnSync('mvn', ['-B', '-q', '-f', pom, ...goal], { encoding: 'utf8', timeout: FETCH_WITHIN_MS });
  if (maven.status !== 0) throw new Error(`Maven could not fetch the server: ${maven.stdout}${maven.stderr}`);
  return folder;
}

beforeAll(async () => {
  const settings = [`-Djsmpp.simulator.port=${port}`, '-Dorg.slf4j.simpleLogger.defaultLogLevel=info'];
  server = spawn(
    'java',
    ['-Xmx128m', ...settings, '-cp', join(fetchServer(), '*'), 'org.jsmpp.examples.SMPPServerSimulator'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  for (const stream of [server.stdout, server.stderr]) stream?.on('data', (chunk) => (printed += chunk));
  await until('the server listens', () => isListening('127.0.0.1', port), { withinMs: 30_000 });
}, FETCH_WITHIN_MS + 40_000);
afterAll(() => void server?.kill('SIGKILL'));

const stack = useStack({
  operators: {
    MCI: {
      connector: 'smpp',
      smpp: {
        port,
        system_id: 'j',
        password: 'jpwd',
        response_timeout_ms: 5_000,
        receipt_id: { response: 'hex', receipt: 'decimal' },
      },
    },
  },
});

const delivered = (id: string): Promise<Message> =>
  until(`message ${id} is delivered`, async () => {
    const message = await stack.message(id);
    if (message.status !== 'delivered' || message.phone === null) throw new Error(`it is ${message.status}`);
    return message;
  });

test('one message is submitted, answered and receipted', async () => {
  await stack.charge('foreign', 10_000_000);
  await isBound(stack, 'MCI');
  const sent = await stack.send({ phone: newPhone('912'), user_id: 'foreign', text: 'Hello, foreigner' });
  const message = await delivered(sent.message_id);
  expect(message).toMatchObject({ posted: sent.price, attempts: 1, error: null, flags: [] });
  expect(message.timeline.map(({ event }) => event)).toEqual(['queued', 'sent', 'delivered']);
  await until('the server has printed it', () => printed.includes('Hello, foreigner'));
  await assertSettled(stack, 'foreign', sent.price);
});

test('a Persian message of three pages is submitted as three parts, each answered and receipted', async () => {
  const text = `${'س'.repeat(66)}😀${'ل'.repeat(64)}😀${'م'.repeat(20)}`;
  await stack.charge('persian', 10_000_000);
  const sent = await stack.send({ phone: newPhone('912'), user_id: 'persian', text });
  expect(sent.pages).toBe(3);
  const { timeline } = await delivered(sent.message_id);
  expect(timeline.filter(({ event }) => event === 'delivered')).toHaveLength(3);
  await assertSettled(stack, 'persian', sent.price);
});

test('two thousand messages are each submitted, answered and receipted once', async () => {
  await stack.charge('many', 100_000_000);
  const { binds: before } = await operatorState(stack, 'MCI');
  const accepted = await sendAll(
    stack,
    'many',
    Array.from({ length: 2_000 }, () => ({ phone: newPhone('912') })),
  );
  const { counts } = await until(
    'all are delivered',
    async () => {
      const page = await stack.report('many', '?limit=1');
      if (page.counts.delivered !== accepted.length) throw new Error(JSON.stringify(page.counts));
      return page;
    },
    { withinMs: 60_000 },
  );
  expect(counts.failed).toBe(0);
  const { outcomes, binds } = await operatorState(stack, 'MCI');
  expect(outcomes).toMatchObject({ rejected: 0, transient: 0, throttled: 0, unknown: 0 });
  expect(binds).toEqual(before);
  await assertSettled(
    stack,
    'many',
    accepted.reduce((sum, { price }) => sum + price, 0),
  );
  await assertDrained(stack);
});
