import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { bindPeer, until } from './peers.ts';

const ROOT = join(import.meta.dirname, '../..');
/** The binary itself: the package's wrapper script would keep signals to itself. */
const DENO = join(ROOT, 'node_modules/deno/deno');

for (const [runtime, command, args] of [
  ['bun', process.execPath, ['index.ts']],
  ['deno', DENO, ['run', '-A', 'index.ts']],
] as const) {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`under ${runtime}, from its own folder, it serves both doors and ends at ${signal}`, async () => {
      const child = spawn(command, args, {
        cwd: join(ROOT, 'simulator'),
        env: {
          ...process.env,
          SIMULATOR_HTTP_PORT: '0',
          SIMULATOR_SMPP_PORT: '0',
          SIMULATOR_DIALS: '{"*":{"receipts":{"mode":"deliver"}}}',
        },
      });
      let out = '';
      let exit: number | string | null = null;
      child.stdout.on('data', (chunk) => {
        out += chunk;
      });
      child.stderr.on('data', (chunk) => {
        out += chunk;
      });
      child.on('exit', (code, by) => {
        exit = code ?? by;
      });
      try {
        await until(`ready: ${out}`, () => out.includes('"ready"') || exit !== null, 15_000);
        const { http_port, smpp_port } = JSON.parse(out.split('\n')[0] as string);
        const url = `http://127.0.0.1:${http_port}`;
        const body = JSON.stringify({ message_id: 'm1', to: '+989201234567', from: '3000', text: 'سلام' });
        const answer = await fetch(`${url}/rightel`, { method: 'POST', body });
        expect(answer.status).toBe(200);

        const peer = await bindPeer({ smppPort: smpp_port } as never, 'mci');
        const submitted = await peer.submit({
          destination_addr: '989121234567',
          registered_delivery: 1,
          data_coding: 8,
          short_message: Buffer.from('سلام', 'utf16le').swap16(),
        });
        expect(submitted.command_status).toBe(0);
        await until('the receipt', () => peer.receipts.length === 1);
        const { items } = (await (await fetch(`${url}/control/mci/records`)).json()) as { items: object[] };
        expect(items).toMatchObject([{ text: 'سلام', accepted: 1, operator_ids: [submitted.message_id] }]);

        child.kill(signal);
        await until('the end', () => exit !== null, 5_000);
        expect(exit as number | string | null).toBe(0);
        await peer.closed;
      } finally {
        child.kill('SIGKILL');
      }
    }, 30_000);
  }
}
