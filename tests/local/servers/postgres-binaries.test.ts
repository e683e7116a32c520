import { afterEach, expect, test } from 'bun:test';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDir } from '../../../local/servers/all.ts';
import { findPostgres } from '../../../local/servers/postgres-binaries.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function emptyFolder(): string {
  const folder = temporaryDir();
  folders.push(folder);
  return folder;
}

/** A folder with an initdb and a postgres of this version, which can do nothing but tell it. */
function programsOf(version: string): string {
  const folder = emptyFolder();
  for (const program of ['postgres', 'initdb']) {
    writeFileSync(join(folder, program), `#!/bin/sh\necho "postgres (PostgreSQL) ${version}"\n`);
    chmodSync(join(folder, program), 0o755);
  }
  return folder;
}

test('the programs of a folder that somebody names are used, before those of the package', async () => {
  const folder = programsOf('15.18 (Debian 15.18-0+deb12u1)');
  expect(await findPostgres(null, folder)).toEqual({ bin: folder, major: 15 });
  expect(await findPostgres(15, folder)).toEqual({ bin: folder, major: 15 });
  expect((await findPostgres(null)).bin).not.toBe(folder);
});

test('a named folder without a PostgreSQL that is new enough is refused by its setting, and no other is taken', async () => {
  const empty = emptyFolder();
  for (const folder of [empty, programsOf('13.4'), join(empty, 'nowhere')])
    await expect(findPostgres(null, folder)).rejects.toThrow(
      `${folder} (LOCAL_POSTGRES_BIN, or --postgres of the bench) holds no programs that run here of PostgreSQL 14 or newer.`,
    );
});

test('data of another version are refused', async () => {
  const folder = programsOf('17.2');
  await expect(findPostgres(15, folder)).rejects.toThrow(
    `${folder} (LOCAL_POSTGRES_BIN, or --postgres of the bench) holds no programs that run here of PostgreSQL 15, which made the data folder.`,
  );
});
