/** PostgreSQL refuses to run as root. Then it runs as a user without rights of its own. */
import { execFile, execFileSync } from 'node:child_process';
import { chownSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Launch } from './server-process.ts';

const run = promisify(execFile);

/** How a program is started for PostgreSQL, and to whom its files belong. */
export type ServerUser = {
  wrap(command: string, args: string[]): Pick<Launch, 'command' | 'args'>;
  own(path: string): void;
};

const OURSELVES: ServerUser = { wrap: (command, args) => ({ command, args }), own: () => undefined };

function idOf(user: string): { uid: number; gid: number } | null {
  try {
    const ask = (flag: string) => Number(execFileSync('id', [flag, user], { encoding: 'utf8', stdio: 'pipe' }));
    return { uid: ask('-u'), gid: ask('-g') };
  } catch {
    return null;
  }
}

/**
 * Who runs PostgreSQL: ourselves, or under root the user `postgres`, else `nobody`. A folder of root's may be closed to
 * that user (mode 0700, as `mktemp -d` makes it), so it keeps the one capability to read past that.
 * @throws a sentence where root cannot step down
 */
export async function serverUser(): Promise<ServerUser> {
  if (process.getuid?.() !== 0) return OURSELVES;
  const name = ['postgres', 'nobody'].find((user) => idOf(user) !== null);
  const id = name ? idOf(name) : null;
  if (!name || !id) {
    throw new Error(
      'PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`: start as an ordinary user.',
    );
  }
  const drop = ['--reuid', String(id.uid), '--regid', String(id.gid), '--clear-groups'];
  const readAll = [...drop, '--inh-caps', '+dac_override', '--ambient-caps', '+dac_override'];
  // initdb asks access(2) whether its `postgres` may be run, and without this bit access(2) leaves capabilities aside.
  const askToo = [...readAll, '--securebits', '+no_setuid_fixup'];
  for (const flags of [askToo, readAll, drop]) {
    const works = await run('setpriv', [...flags, 'true']).then(
      () => true,
      () => false,
    );
    if (works) {
      return {
        wrap: (command, args) => ({ command: 'setpriv', args: [...flags, command, ...args] }),
        own: (path) => chownSync(path, id.uid, id.gid),
      };
    }
  }
  throw new Error(
    'PostgreSQL does not run as root, and `setpriv` (util-linux) is missing to step down: install it, start as an ordinary user, or let DATABASE_URL name a PostgreSQL that runs.',
  );
}
