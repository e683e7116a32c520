import { afterAll, afterEach, beforeEach, expect, test } from 'bun:test';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { composeEnv, composeNote, composeUp, findCompose } from '../../local/compose.ts';
import { ROOT } from '../../local/places.ts';
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

beforeEach(() => {
  writeFileSync(calls, '');
  process.env.PATH = `${dir}:${path}`;
});
afterEach(() => {
  process.env.PATH = path;
  rmSync(join(dir, 'compose.json'), { force: true });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const called = (): string[] => readFileSync(calls, 'utf8').trim().split('\n');
const settings = readLocalSettings({
  DATA_DIR: dir,
  REDIS_URL: 'redis://:s%20t@127.0.0.1:16379',
  KAFKA_BROKERS: '127.0.0.1:19092',
});

test('no engine that answers means no compose', async () => {
  dockerThat('info');
  expect(await findCompose()).toBeNull();
  expect(called()).toEqual(['info']);
});

test('what compose has started is written down, and added to what it had', async () => {
  dockerThat('nothing');
  expect(await findCompose()).toEqual(['docker', 'compose']);
  expect(await composeUp(['docker', 'compose'], ['kafka'], settings)).toBe(true);
  expect(await composeUp(['docker', 'compose'], ['redis', 'kafka'], settings)).toBe(true);
  expect(called().slice(2)).toEqual(['compose up -d kafka', 'compose up -d redis kafka']);
  expect(composeNote(dir)).toEqual(['kafka', 'redis']);
});

test('a pull that fails leaves nothing of it running and nothing written down', async () => {
  dockerThat('"compose up"*');
  expect(await composeUp(['docker', 'compose'], ['kafka', 'redis'], settings)).toBe(false);
  expect(called()).toEqual(['compose up -d kafka redis', 'compose stop kafka redis']);
  expect(composeNote(dir)).toEqual([]);
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
