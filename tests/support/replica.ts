/** One more dispatcher beside a stack's own, at a port of its own. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ownIdentity } from '../../local/pid-file.ts';
import { ROOT } from '../../local/places.ts';
import { freePort } from '../../local/ports.ts';
import { type LocalServer, startServer } from '../../local/servers/server-process.ts';
import type { Stack } from './stack.ts';

let started = 0;

/** Answers when it is ready. Whoever starts it ends it; what is forgotten ends with the stack's folder. */
export async function startReplica(stack: Stack, env: Record<string, string> = {}): Promise<LocalServer> {
  started += 1;
  const name = `dispatcher-${started}`;
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const dataDir = join(stack.dir, name);
  mkdirSync(dataDir, { recursive: true });
  return startServer({
    name,
    dir: stack.dir,
    address: url,
    port,
    rank: 20,
    launch: {
      command: process.execPath,
      args: ['run', 'index.ts'],
      cwd: join(ROOT, 'dispatcher'),
      env: { ...stack.settings, DISPATCHER_HTTP_PORT: String(port), DATA_DIR: dataDir, ...env },
    },
    answers: () =>
      fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2_000) }).then(
        ({ status }) => status === 200,
        () => false,
      ),
    stopSignal: 'SIGTERM',
    graceMs: 15_000,
    readyWithinMs: 40_000,
    owner: ownIdentity(),
  });
}
