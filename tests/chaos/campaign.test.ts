/** The campaign of faults, checked itself: what fails it, what a seed fixes, what its table adds up. */
import { describe, expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FAILPOINTS } from '../../shared/failpoint.ts';
import { createRandom } from '../simulation/random.ts';
import { until } from '../support/poll.ts';
import { startProxy } from '../support/proxy.ts';
import { kindsOf } from './campaign/check.ts';
import { FAULTS, faultsBySeed } from './campaign/faults.ts';
import { readOptions } from './campaign/options.ts';
import type { Window } from './campaign/schedule.ts';
import { type Result, tableOf, totalOf } from './campaign/table.ts';
import { complaintsOf } from './campaign/verdict.ts';

const result = (over: Partial<Result> = {}): Result => ({
  at: '2026-01-01T00:00:00.000Z',
  commit: 'abc',
  seed: 1,
  machine: {},
  seconds: 60,
  faults: 2,
  messages: 1_000,
  checks: 1,
  violations: [],
  ownEnds: [],
  ends: { sent: 1_000 },
  failpoints: Object.fromEntries(FAILPOINTS.map((name) => [name, 1])),
  rows: { 'kill -9 kafka': { count: 2, messages: 1_200, violations: 0 } },
  ...over,
});

describe('a campaign fails', () => {
  test('not when all was as promised', () => {
    expect(complaintsOf(result(), [])).toEqual([]);
  });

  const [first = '', ...rest] = FAILPOINTS;
  const CASES: Record<string, [Partial<Result>, string[], string]> = {
    'on a broken rule': [{ violations: ['m was accepted twice'] }, [], 'VIOLATION m was'],
    'on a failpoint that nothing reached': [
      { failpoints: Object.fromEntries(rest.map((name) => [name, 1])) },
      [],
      `NOT REACHED ${first}`,
    ],
    'on a process that ended by itself': [
      { ownEnds: [{ service: 'report', at: 'now', words: 'unfit' }] },
      [],
      'ENDED BY ITSELF report',
    ],
    'on a fault that could not be healed': [{}, ['kill -9 kafka: it does not start'], 'TROUBLE kill -9 kafka'],
    'when nothing was checked': [{ checks: 0 }, [], 'NOTHING DONE'],
    'when no message was sent': [{ messages: 0 }, [], 'NOTHING DONE'],
  };
  for (const [name, [over, troubles, sentence]] of Object.entries(CASES)) {
    test(name, () => {
      expect(complaintsOf(result(over), troubles)).toEqual([expect.stringContaining(sentence)]);
    });
  }
});

const drawn = (seed: number, count: number): string[] => {
  const faults = faultsBySeed(createRandom(seed), () => undefined);
  return Array.from({ length: count }, () => {
    const { kind, targets } = faults.next().value as { kind: string; targets: readonly string[] };
    return `${kind} ${targets.join('+')}`;
  });
};
const round = FAULTS.length + FAILPOINTS.length;

test('a seed is a schedule, and another seed another one', () => {
  expect(drawn(7, 300)).toEqual(drawn(7, 300));
  expect(drawn(8, 300)).not.toEqual(drawn(7, 300));
});

test('each round has every fault once, and every failpoint within twice their number', () => {
  const [first, second] = [drawn(7, round), drawn(7, 2 * round).slice(round)];
  expect([...second].sort()).toEqual([...first].sort());
  expect(new Set(first).size).toBe(round);
  const early = first.slice(0, 2 * FAILPOINTS.length).join('\n');
  for (const name of FAILPOINTS) expect(early).toContain(`killed at ${name} `);
});

test('a violation counts for the faults that its message was under', () => {
  const id = '0199c0de-0000-7000-8000-000000000000';
  const at = 0x0199c0de0000;
  const window = (kind: string, from: number, to: number): Window => ({ kind, refuses: [], from, to, messages: 0 });
  const windows = [
    window('long before', at - 100_000, at - 90_000),
    window('before', at - 5_000, at - 1_000),
    window('then', at, at + 10),
  ];
  expect([...kindsOf(`${id} (sent): posted 2 of 1`, windows)]).toEqual(['before', 'then']);
  expect(kindsOf('account a: held 1', windows).size).toBe(3);
});

test('the sum of runs adds up, and the table shows it', () => {
  const other = result({
    seed: 2,
    violations: ['x'],
    rows: {
      'kill -9 kafka': { count: 1, messages: 300, violations: 1 },
      'slow grpc': { count: 1, messages: 5, violations: 0 },
    },
  });
  const total = totalOf([result(), other]);
  expect(total).toMatchObject({
    seconds: 120,
    faults: 4,
    messages: 2_000,
    checks: 2,
    violations: ['x'],
    ends: { sent: 2_000 },
  });
  expect(tableOf(total).split('\n').slice(2)).toEqual([
    '| kill -9 kafka |     3 |             1,500 |          1 |',
    '| slow grpc     |     1 |                 5 |          0 |',
    '| **all**       |     4 |             2,000 |          1 |',
  ]);
  expect(() => totalOf([])).toThrow('no results');
});

test('flags that cannot be are refused, and those that can be are read', () => {
  expect(readOptions(['--seed', '5', '--duration', '90s'], 1)).toMatchObject({ seed: 5, durationMs: 90_000 });
  expect(readOptions([], 77)?.seed).toBe(77);
  expect(readOptions(['--help'], 1)).toBeNull();
  for (const bad of [
    ['--duration', '5'],
    ['--duration', '3h'],
    ['--rate', '0'],
    ['--seed', '-1'],
    ['--seeds', '1'],
  ])
    expect(() => readOptions(bad, 1)).toThrow();
});

test('a service whose clock jumps sees another time of day, and the same monotonic clock', () => {
  const dir = mkdtempSync(join(tmpdir(), 'jsms-gateway-clock-'));
  const file = join(dir, 'clock');
  writeFileSync(file, '60000');
  const program = join(dir, 'program.ts');
  writeFileSync(
    program,
    'console.log(JSON.stringify([Date.now(), new Date().getTime(), new Date(5).getTime(), new Date() instanceof Date, performance.now()]))',
  );
  const preload = join(import.meta.dirname, 'campaign', 'clock-jump.ts');
  const before = Date.now();
  const { stdout, stderr } = spawnSync(process.execPath, ['--preload', preload, program], {
    encoding: 'utf8',
    env: { ...process.env, CLOCK_JUMP_FILE: file },
  });
  rmSync(dir, { recursive: true });
  const [now = 0, made, five, isDate, monotonic] = JSON.parse(stdout || `"${stderr}"`) as [
    number,
    number,
    number,
    boolean,
    number,
  ];
  expect(now - before).toBeWithin(60_000, 75_000);
  expect(made - now).toBeLessThan(1_000);
  expect([five, isDate, monotonic < 15_000]).toEqual([5, true, true]);
});

test('a slow way keeps the order of what passes, also when it becomes fast again', async () => {
  const got: string[] = [];
  const server = createServer((socket) => {
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => void got.push(text));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy = await startProxy((server.address() as { port: number }).port);
  const client = connect(proxy.port, '127.0.0.1');
  await new Promise<void>((resolve) => client.once('connect', () => resolve()));
  const began = performance.now();
  proxy.delayMs = 120;
  for (let n = 0; n < 10; n++) {
    client.write(`${n},`);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  proxy.delayMs = 0;
  client.write('last');
  await until('all of it arrives', () => got.join('').includes('last'), { everyMs: 5 });
  const took = performance.now() - began;
  client.destroy();
  await proxy.close();
  server.close();
  expect(got.join('')).toBe('0,1,2,3,4,5,6,7,8,9,last');
  expect(took).toBeGreaterThan(100);
});
