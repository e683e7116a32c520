import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { start } from '../../../simulator/index.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise<void>((resolve) => void server.close(() => resolve()));
  return port;
}

test('both connectors do under Deno what they do under Bun, and let the process end', async () => {
  const sim = await start({ host: '127.0.0.1', httpPort: 0, smppPort: 0 });
  try {
    sim.dials('mci', { receipts: { mode: 'deliver' } });
    sim.dials('rightel', { rules: [{ outcome: 'silent' }] });
    const child = spawn(
      path.join(ROOT, 'node_modules/.bin/deno'),
      [
        'run',
        '-A',
        path.join(import.meta.dirname, 'runtime-drive.ts'),
        String(sim.httpPort),
        String(sim.smppPort),
        String(await freePort()),
      ],
      { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      out += chunk;
    });
    const [code] = await once(child, 'close');
    expect([code, out]).toEqual([
      0,
      `${JSON.stringify({
        http: Array.from({ length: 5 }, () => 'accepted 1/1'),
        silent: 'unknown no_answer',
        refused: 'transient connect_failed',
        smpp: 'accepted 3/3',
        receipts: true,
        dead: 'released not_bound',
      })}\n`,
    ]);
  } finally {
    await sim.close();
  }
}, 60_000);
