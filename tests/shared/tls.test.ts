import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { ROOT } from '../../local/places.ts';
import type { AppError } from '../../shared/error.ts';
import { connectBilling } from '../../shared/grpc.ts';
import { fetchTrusting } from '../../shared/runtime.ts';
import { AUTHORITY } from '../support/certificates.ts';
import { INTERNAL_KEY } from '../support/keys.ts';
import { until } from '../support/poll.ts';

const SCRIPT = join(import.meta.dirname, '..', 'support', 'tls-doors.ts');
const COMMANDS = {
  bun: [process.execPath, [SCRIPT]],
  deno: [join(ROOT, 'node_modules', '.bin', 'deno'), ['run', '-A', SCRIPT]],
} as const;
type Doors = { http: number; grpc: number; self: Record<string, unknown> };

const balance = { available: 1, held: 2, posted: 3, topped_up: 6, open_holds: 0 };
setDefaultTimeout(60_000);
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.stdin?.end();
});

async function openDoors(runtime: keyof typeof COMMANDS, certificate: 'own' | 'stranger'): Promise<Doors> {
  const [command, args] = COMMANDS[runtime];
  const child = spawn(command, [...args, certificate], { cwd: ROOT, stdio: ['pipe', 'pipe', 'pipe'] });
  children.push(child);
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  await until('the doors are open', () => out.includes('\n') || child.exitCode !== null, { withinMs: 50_000 });
  if (!out.includes('\n')) throw new Error(err);
  return JSON.parse(out) as Doors;
}

describe.each(['bun', 'deno'] as const)('under %s', (runtime) => {
  let doors: Promise<Doors> | null = null;
  const open = (): Promise<Doors> => {
    doors ??= openDoors(runtime, 'own');
    return doors;
  };

  test('the HTTP door shakes hands with whoever trusts its certificate, and asks for the key behind it', async () => {
    const url = `https://127.0.0.1:${(await open()).http}`;
    const trusting = fetchTrusting(AUTHORITY);
    expect((await trusting(`${url}/health/live`)).status).toBe(200);
    expect((await trusting(`${url}/who`)).status).toBe(401);
    const answer = await trusting(`${url}/who`, { headers: { 'x-api-key': INTERNAL_KEY } });
    expect(await answer.text()).toBe('one of us');
    await expect(fetch(`${url}/health/live`)).rejects.toThrow(/certificate/i);
  });

  test('it shows the certificate that was set, and speaks no TLS older than 1.2 and nothing plain', async () => {
    const { http } = await open();
    const shake = (options: object): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port: http, ca: AUTHORITY, ...options }, () => {
          resolve(`${socket.getPeerCertificate().subject.CN} ${socket.getProtocol()}`);
          socket.destroy();
        });
        socket.once('error', reject);
      });
    expect(await shake({})).toMatch(/^localhost TLSv1\.[23]$/);
    await expect(shake({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })).rejects.toThrow();
    const plain = await fetch(`http://127.0.0.1:${http}/health/live`).then(
      ({ status }) => status,
      () => 'nothing',
    );
    expect(plain).not.toBe(200);
  });

  test('billing’s gRPC door takes whoever trusts it and shows the key, and nobody else', async () => {
    const { grpc, self } = await open();
    expect(self.grpc).toEqual(balance);
    expect(self.grpcDistrusted).toMatch(/Error/);
    expect(self.grpcPlain).toMatch(/Error/);
    expect(self.grpcOtherKey).toMatch(/ConfigError: INTERNAL_KEY: billing at .* has another one/);
    const client = connectBilling(`grpcs://127.0.0.1:${grpc}`, { internalKeys: [INTERNAL_KEY], ca: AUTHORITY });
    await client.ready(5_000);
    expect(await client.call('GetBalance', { user_id: '1' }, 5_000)).toEqual(balance);
    client.close();
  });

  test('a call without the key does nothing and is answered as such', async () => {
    const { grpc } = await open();
    const client = connectBilling(`grpcs://127.0.0.1:${grpc}`, { internalKeys: [], ca: AUTHORITY });
    await client.ready(5_000);
    const refused = await client.call('GetBalance', { user_id: '1' }, 5_000).catch((thrown: AppError) => thrown);
    expect(refused).toMatchObject({ code: 'unavailable', message: 'Billing does not take our key; nothing was done.' });
    client.close();
  });

  test('services call each other’s HTTP doors with the key, by the authority that was set and by no other', async () => {
    const { self } = await open();
    expect(self.http).toBe('one of us');
    expect(self.httpDistrusted).toMatch(/Error/);
  });

  test('a certificate for another host is believed by no client, though its authority is', async () => {
    const { self } = await openDoors(runtime, 'stranger');
    for (const name of ['http', 'grpc']) expect(`${name} ${self[name]}`).toMatch(/Error/);
  });
});
