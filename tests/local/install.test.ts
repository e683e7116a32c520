import { beforeEach, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installNeeded } from '../../local/install.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'jsms-install-'));
  const manifest = { dependencies: { kafkajs: '2.2.4' }, patchedDependencies: { 'kafkajs@2.2.4': 'kafkajs.patch' } };
  writeFileSync(join(root, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(root, 'bun.lock'), 'one');
  writeFileSync(join(root, 'kafkajs.patch'), 'a patch');
  mkdirSync(join(root, 'node_modules', 'kafkajs'), { recursive: true });
  writeFileSync(join(root, 'node_modules', 'kafkajs', 'package.json'), '{"version":"2.2.4"}');
  writeFileSync(join(root, 'node_modules', 'kafkajs', '.bun-tag-1'), '');
  const hash = createHash('sha256');
  for (const file of ['bun.lock', 'package.json', 'kafkajs.patch']) hash.update(readFileSync(join(root, file)));
  writeFileSync(join(root, 'node_modules', '.jsms-install'), hash.digest('hex'));
  return () => rmSync(root, { recursive: true, force: true });
});

test('an install that is what the lock says is not repeated', () => {
  expect(installNeeded(root)).toBeNull();
});

test.each([
  ['nothing is installed yet', () => rmSync(join(root, 'node_modules'), { recursive: true })],
  ['kafkajs is missing, wanted is 2.2.4', () => rmSync(join(root, 'node_modules', 'kafkajs'), { recursive: true })],
  [
    'kafkajs is 2.2.3, wanted is 2.2.4',
    () => writeFileSync(join(root, 'node_modules/kafkajs/package.json'), '{"version":"2.2.3"}'),
  ],
  ['the patch of kafkajs is not applied', () => rmSync(join(root, 'node_modules', 'kafkajs', '.bun-tag-1'))],
  ['bun.lock has changed since the last install', () => writeFileSync(join(root, 'bun.lock'), 'two')],
  ['bun.lock has changed since the last install', () => writeFileSync(join(root, 'kafkajs.patch'), 'another patch')],
])('an install is needed when %s', (reason, change) => {
  change();
  expect(installNeeded(root)).toBe(reason);
});

const NODE_ONLY = ['up.ts', 'infra.ts', 'down.ts', 'test.ts', 'install.ts'];
const importsOf = (source: string): string[] =>
  [...source.matchAll(/(?:from|import) '([^']+)'/g)].map((match) => match[1] as string);
const isAllowed = (name: string): boolean => name.startsWith('node:') || name === './install.ts';

test('what runs before the install imports node: modules alone', () => {
  const folder = join(import.meta.dirname, '..', '..', 'local');
  for (const file of NODE_ONLY) {
    const imports = importsOf(readFileSync(join(folder, file), 'utf8'));
    expect(imports.length).toBeGreaterThan(0);
    expect(imports.filter((name) => !isAllowed(name))).toEqual([]);
  }
  expect(importsOf("import { x } from 'kafkajs';\nimport 'postgres';").filter((name) => !isAllowed(name))).toEqual([
    'kafkajs',
    'postgres',
  ]);
});
