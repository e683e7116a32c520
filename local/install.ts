/**
 * The first half of every command: only `node:` modules may be imported here and in what this file imports. Without
 * node_modules bun does not fail but fetches packages into a cache of its own, without the postinstalls and without our
 * patches, and a process that installs afterwards keeps what it imported. So this half installs, and a fresh process
 * does the work.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

type Manifest = {
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  patchedDependencies?: Record<string, string>;
};

/** What an install depends on: the lock, the manifest (trusted postinstalls) and the patches. */
function wantedInstall(root: string, manifest: Manifest): string {
  const hash = createHash('sha256');
  const patches = Object.values(manifest.patchedDependencies ?? {});
  for (const file of ['bun.lock', 'package.json', ...patches]) hash.update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

function installedVersion(root: string, name: string): string | null {
  const path = join(root, 'node_modules', name, 'package.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version : null;
}

/** bun leaves a file of this name in a package it has patched. */
function isPatched(root: string, name: string): boolean {
  const folder = join(root, 'node_modules', name);
  return existsSync(folder) && readdirSync(folder).some((file) => file.startsWith('.bun-tag-'));
}

const stampPath = (root: string): string => join(root, 'node_modules', '.jsms-install');

/** Why node_modules must not be used as it is, or null when it is what the lock and the patches say. */
export function installNeeded(root: string): string | null {
  if (!existsSync(join(root, 'node_modules'))) return 'nothing is installed yet';
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
    const found = installedVersion(root, name);
    if (found !== version) return `${name} is ${found ?? 'missing'}, wanted is ${version}`;
  }
  for (const patched of Object.keys(manifest.patchedDependencies ?? {})) {
    const name = patched.slice(0, patched.lastIndexOf('@'));
    if (!isPatched(root, name)) return `the patch of ${name} is not applied`;
  }
  const stamp = existsSync(stampPath(root)) ? readFileSync(stampPath(root), 'utf8') : '';
  return stamp === wantedInstall(root, manifest) ? null : 'bun.lock has changed since the last install';
}

/** Installs what bun.lock names unless it is there. Ends the process with a sentence when that fails. */
export function ensureInstalled(root: string): void {
  const reason = installNeeded(root);
  if (reason === null) return;
  process.stdout.write(`Installing the packages of bun.lock (${reason}) …\n`);
  const install = spawnSync(process.execPath, ['install', '--frozen-lockfile'], { cwd: root, stdio: 'inherit' });
  if (install.status !== 0) {
    process.stderr.write(
      '`bun install --frozen-lockfile` failed, its reason stands above; it needs the npm registry (or the mirror that ~/.npmrc names).\n',
    );
    process.exit(1);
  }
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
  writeFileSync(stampPath(root), wantedInstall(root, manifest));
  const left = installNeeded(root);
  if (left !== null) {
    process.stderr.write(`After \`bun install\` ${left}; remove node_modules and start again.\n`);
    process.exit(1);
  }
}

/**
 * Runs a program of this folder in a fresh process, with our arguments, and ends with its exit code. Signals are passed
 * on; the program itself takes the second delivery of one Ctrl-C for what it is.
 */
export async function runInstalled(program: string): Promise<never> {
  ensureInstalled(ROOT);
  const child = spawn(process.execPath, [join(import.meta.dirname, program), ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  const code = await new Promise<number>((resolve) => {
    child.once('error', () => resolve(1));
    child.once('exit', (exitCode, signal) => resolve(exitCode ?? 128 + (signal ? constants.signals[signal] : 0)));
  });
  process.exit(code);
}
