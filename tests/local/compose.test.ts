import { afterAll, afterEach, beforeEach, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bringUp } from '../../local/bring-up.ts';
import { composeEnv, composeNote, composeUp, findCompose } from '../../local/compose.ts';
import { endAll, removeData } from '../../local/occupancy.ts';
import { ROOT } from '../../local/places.ts';
import { freePort } from '../../local/ports.ts';
import { readLocalSettings } from '../../local/settings.ts';

/** A `docker` in the PATH that writes down how it is called and fails where it is told to. */
const dir = mkdtempSync(join(tmpdir(), 'jsms-compose-'));
const calls = join(dir, 'calls');
const path = process.env.PATH ?? '';

function dockerThat(fails: string): void {
  const script = `#!/bin/sh\necho "$*" >> '${calls}'\ncase "$*" in ${fails}) exit 1;; esac\n`;
  writeFileSync(join(dir, 'docker'), script);
  chmodSync(join(dir, 'docker'), 0o755);
}

const first = join(dir, 'first');
const second = join(dir, 'second');
beforeEach(() => {
  writeFileSync(calls, '');
  process.env.PATH = `${dir}:${path}`;
  for (const folder of [first, second]) mkdirSync(folder);
});
afterEach(() => {
  process.env.PATH = path;
  for (const folder of [first, second]) rmSync(folder, { recursive: true });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const ASKS_WHETHER_IT_ANSWERS = ['info', 'compose version'];
/** What was called but for the question whether it answers. */
const called = (): string[] =>
  readFileSync(calls, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !ASKS_WHETHER_IT_ANSWERS.includes(line));
const settingsOf = (DATA_DIR: string, more: Record<string, string> = {}) =>
  readLocalSettings({
    DATA_DIR,
    REDIS_URL: 'redis://:s%20t@127.0.0.1:16379',
    KAFKA_BROKERS: '127.0.0.1:19092',
    ...more,
  });
const settings = settingsOf(first);
const other = settingsOf(second);
const COMPOSE = ['docker', 'compose'];
const projectOf = (folder: string): string =>
  `jsms-gateway-${createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 12)}`;

test('no engine that answers means no compose', async () => {
  dockerThat('info');
  expect(await findCompose()).toBeNull();
  expect(readFileSync(calls, 'utf8')).toBe('info\n');
  dockerThat('nothing');
  expect(await findCompose()).toEqual(COMPOSE);
});

test('what compose has started is written down, and added to what it had', async () => {
  dockerThat('nothing');
  expect(await composeUp(COMPOSE, ['kafka'], settings)).toBe(true);
  expect(await composeUp(COMPOSE, ['redis', 'kafka'], settings)).toBe(true);
  const project = projectOf(first);
  expect(called()).toEqual([`compose -p ${project} up -d kafka`, `compose -p ${project} up -d redis kafka`]);
  expect(composeNote(first)).toEqual(['kafka', 'redis']);
});

test('a pull that fails leaves nothing of it running and nothing written down', async () => {
  dockerThat('*" up "*');
  expect(await composeUp(COMPOSE, ['kafka', 'redis'], settings)).toBe(false);
  const project = projectOf(first);
  expect(called()).toEqual([`compose -p ${project} up -d kafka redis`, `compose -p ${project} stop kafka redis`]);
  expect(composeNote(first)).toEqual([]);
});

test('two DATA_DIRs share nothing in Docker, whatever the environment says, and none has the name in the file', async () => {
  dockerThat('nothing');
  process.env.COMPOSE_PROJECT_NAME = 'jsms-gateway';
  await composeUp(COMPOSE, ['redis'], settings);
  await composeUp(COMPOSE, ['redis'], other);
  delete process.env.COMPOSE_PROJECT_NAME;
  const projects = called().map((line) => line.match(/-p (\S+) up/)?.[1]);
  expect(projects).toEqual([projectOf(first), projectOf(second)]);
  expect(new Set([...projects, 'jsms-gateway']).size).toBe(3);
});

test('`down` ends and `--reset` removes what was started for this DATA_DIR, by name, and nothing else', async () => {
  dockerThat('nothing');
  await composeUp(COMPOSE, ['kafka'], settings);
  await composeUp(COMPOSE, ['redis'], other);
  writeFileSync(calls, '');
  const project = projectOf(first);
  expect(await endAll(settings)).toEqual(['kafka (Docker)']);
  expect(called()).toEqual([`compose -p ${project} stop kafka`]);

  writeFileSync(calls, '');
  await removeData(settings);
  expect(called()).toEqual([`compose -p ${project} rm -s -f -v kafka`, `volume rm -f ${project}_kafka-data`]);
  expect(composeNote(first)).toEqual([]);
  expect(composeNote(second)).toEqual(['redis']);

  writeFileSync(calls, '');
  await removeData(settings);
  expect(called()).toEqual([]);
});

test.each(['info', '*" rm -s "*', '"volume rm"*'])(
  'a reset that fails at %s says so and can be repeated',
  async (fails) => {
    dockerThat('nothing');
    await composeUp(COMPOSE, ['kafka', 'redis'], settings);
    dockerThat(fails);
    await expect(removeData(settings)).rejects.toThrow('Docker does not remove them');
    expect(composeNote(first)).toEqual(['kafka', 'redis']);
  },
);

test('what an older version started is found and ended; a reset leaves its volumes, which others share', async () => {
  dockerThat('nothing');
  writeFileSync(join(first, 'compose.json'), '["redis"]');
  await composeUp(COMPOSE, ['kafka'], settings);
  expect(await endAll(settings)).toEqual(['redis (Docker)', 'kafka (Docker)']);
  await removeData(settings);
  const ended = 'compose stop redis kafka';
  expect(called()).toEqual(['compose up -d kafka', ended, ended]);

  await composeUp(COMPOSE, ['redis'], settings);
  expect(called().at(-1)).toBe(`compose -p ${projectOf(first)} up -d redis`);
});

test("a copy of a DATA_DIR neither ends nor removes the original's servers", async () => {
  dockerThat('nothing');
  await composeUp(COMPOSE, ['redis'], settings);
  cpSync(first, second, { recursive: true });
  writeFileSync(calls, '');
  for (const act of [endAll, removeData]) await expect(act(other)).rejects.toThrow('was moved or copied');
  expect(called()).toEqual([]);
});

test.each([
  ['info', 'Docker does not answer'],
  ['*" up "*', 'Docker could not start it'],
])('data in a Docker volume are not left there for an empty Redis beside Docker (%s fails)', async (fails, why) => {
  dockerThat('nothing');
  await composeUp(COMPOSE, ['redis'], settings);
  dockerThat(fails);
  const [kafka, redis, database] = await Promise.all([freePort(), freePort(), freePort()]);
  const free = settingsOf(first, {
    KAFKA_BROKERS: `127.0.0.1:${kafka}`,
    REDIS_URL: `redis://127.0.0.1:${redis}`,
    DATABASE_URL: `postgres://jsms:jsms@127.0.0.1:${database}/jsms`,
  });
  const started = bringUp(free, { owner: null, say: () => {}, signal: new AbortController().signal });
  await expect(started).rejects.toThrow(`The data of Redis are in a Docker volume, and ${why}`);
});

test('the volumes that a reset names are those of docker-compose.yml', () => {
  const file = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8');
  for (const service of ['kafka', 'redis', 'postgres']) {
    expect(file).toMatch(new RegExp(`^ {2}${service}:\n(?: {4}.*\n)+? +- ${service}-data:`, 'm'));
    expect(file).toMatch(new RegExp(`^ {2}${service}-data:$`, 'm'));
  }
});

test('the addresses of the settings reach the file by variables that it knows, each with a default', () => {
  const file = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8');
  const env = composeEnv(settings);
  expect(env).toMatchObject({ JSMS_KAFKA_PORT: '19092', JSMS_REDIS_PORT: '16379', JSMS_REDIS_PASSWORD: 's t' });
  for (const name of Object.keys(env)) expect(file).toContain(`\${${name}:-`);
});

test('docker-compose.yml binds every port to the loopback alone', () => {
  const file = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8');
  const published = [...file.matchAll(/ports:\n((?: +- .*\n)+)/g)].flatMap((match) =>
    (match[1] as string).trim().split('\n'),
  );
  expect(published).toHaveLength(3);
  for (const port of published) expect(port.trim()).toMatch(/^- ['"]127\.0\.0\.1:/);
});
