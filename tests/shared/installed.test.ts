import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..');

test.each(['billing', 'gateway', 'dispatcher', 'report'])(
  "%s without the repository's packages refuses to start and names the mend",
  (service) => {
    const copy = mkdtempSync(join(tmpdir(), 'jsms-not-installed-'));
    try {
      for (const folder of [service, 'shared', 'proto']) {
        mkdirSync(join(copy, folder), { recursive: true });
        cpSync(join(ROOT, folder), join(copy, folder), { recursive: true });
      }
      const { status, stderr } = spawnSync(process.execPath, ['run', 'index.ts'], {
        cwd: join(copy, service),
        encoding: 'utf8',
        timeout: 20_000,
      });
      expect(status).toBe(1);
      expect(stderr).toContain('bun install --frozen-lockfile');
      expect(existsSync(join(copy, 'node_modules'))).toBe(false);
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  },
);
