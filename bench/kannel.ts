/** Kannel as Debian packages it: bearerbox and smsbox with one SMPP bind to the simulator. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ownIdentity } from '../local/pid-file.ts';
import { freePort, isListening } from '../local/ports.ts';
import { type LocalServer, startServer } from '../local/servers/server-process.ts';
import type { Bench } from './bench.ts';
import { SERIAL, type Shot } from './load/plan.ts';
import { WINDOW } from './operators-file.ts';
import { phoneOf, TEXT } from './shots.ts';

export type StoreType = 'file' | 'spool';
export type Kannel = {
  readonly store: StoreType;
  readonly sendPort: number;
  readonly bearerbox: LocalServer;
  readonly smsbox: LocalServer;
};

const MEND =
  'the peer is missing: bearerbox and smsbox are neither on the PATH nor in /usr/sbin; `apt install kannel` (Debian, Ubuntu) brings both. Their service need not run.';
const BEARERBOX_RANK = 30;
const SMSBOX_RANK = 31;
const READY_WITHIN_MS = 30_000;

/** Debian keeps the boxes in /usr/sbin, which is on the PATH of root alone. Throws the mend. */
function findBox(name: string): string {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (!found) throw new Error(MEND);
  return found;
}

/** What `bearerbox --version` says of itself. */
export async function kannelVersion(): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(findBox('bearerbox'), ['--version']);
  return /version `([^']+)'/.exec(stdout + stderr)?.[1] ?? 'unknown';
}

type Ports = { admin: number; boxes: number; send: number; smpp: number };

/** kannel.conf: the least that carries sends to one SMPP bind, with the window that our own operators have. */
function configuration(dir: string, store: StoreType, ports: Ports): string {
  const groups: Record<string, string | number>[] = [
    {
      group: 'core',
      'admin-port': ports.admin,
      'admin-password': 'bench',
      'admin-interface': '127.0.0.1',
      'smsbox-port': ports.boxes,
      'box-deny-ip': '"*.*.*.*"',
      'box-allow-ip': '127.0.0.1',
      'dlr-storage': 'internal',
      'store-type': store,
      'store-location': join(dir, store === 'file' ? 'store.log' : 'spool'),
    },
    {
      group: 'smsc',
      smsc: 'smpp',
      'smsc-id': 'simulator',
      host: '127.0.0.1',
      port: ports.smpp,
      'smsc-username': 'kannel',
      'smsc-password': 'kannel',
      'system-type': 'VMA',
      'transceiver-mode': 'true',
      'max-pending-submits': WINDOW,
      'reconnect-delay': 1,
    },
    {
      group: 'smsbox',
      'bearerbox-host': '127.0.0.1',
      'sendsms-port': ports.send,
      'sendsms-interface': '127.0.0.1',
      'global-sender': 10001234,
    },
    { group: 'sendsms-user', username: 'bench', password: 'bench', 'max-messages': 1 },
    { group: 'sms-service', keyword: 'default', text: '"none"' },
  ];
  return `${groups
    .map((group) =>
      Object.entries(group)
        .map(([name, value]) => `${name} = ${value}`)
        .join('\n'),
    )
    .join('\n\n')}\n`;
}

const isOnline = (adminPort: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${adminPort}/status.txt?password=bench`, { signal: AbortSignal.timeout(2_000) })
    .then((answer) => answer.text())
    .then(
      // Once the SMSC's line says online and its bind stands.
      (text) => /SMPP:127\.0\.0\.1[^\n]*\(online/.test(text),
      () => false,
    );

/** Starts both boxes with a fresh store, in the bench's own folder; returns when the bind stands and sends are taken. */
export async function startKannel({ stack, signal, defer }: Bench, store: StoreType): Promise<Kannel> {
  const [bearerbox, smsbox] = [findBox('bearerbox'), findBox('smsbox')];
  const dir = join(stack.dir, `kannel-${store}`);
  mkdirSync(join(dir, 'spool'), { recursive: true });
  const ports: Ports = {
    admin: await freePort(),
    boxes: await freePort(),
    send: await freePort(),
    smpp: stack.simulatorSmppPort,
  };
  const config = join(dir, 'kannel.conf');
  writeFileSync(config, configuration(dir, store, ports));
  const box = async (name: string, command: string, rank: number, port: number, answers: () => Promise<boolean>) => {
    const server = await startServer({
      name: `${name}-${store}`,
      dir: stack.dir,
      address: `127.0.0.1:${port}`,
      port,
      rank,
      // -v 4: with their debugging output the boxes are half as fast.
      launch: { command, args: ['-v', '4', config], cwd: dir },
      answers,
      stopSignal: 'SIGTERM',
      graceMs: 15_000,
      readyWithinMs: READY_WITHIN_MS,
      owner: ownIdentity(),
      signal,
    });
    defer(() => server.stop());
    return server;
  };
  return {
    store,
    sendPort: ports.send,
    bearerbox: await box('bearerbox', bearerbox, BEARERBOX_RANK, ports.admin, () => isOnline(ports.admin)),
    smsbox: await box('smsbox', smsbox, SMSBOX_RANK, ports.send, () => isListening('127.0.0.1', ports.send)),
  };
}

const SHOTS = 2_000;

/** The same messages as ours, in Kannel's way: GET /cgi-bin/sendsms. */
export function kannelShots({ sendPort }: Pick<Kannel, 'sendPort'>): Shot[] {
  // The serial stays as it is: the load generator writes it in digits, which need no escape.
  const text = TEXT.split(SERIAL).map(encodeURIComponent).join(SERIAL);
  return Array.from({ length: SHOTS }, (_, n) => {
    const to = `%2B98${phoneOf('MCI', n).slice(1)}`;
    const query = `username=bench&password=bench&to=${to}&coding=2&charset=UTF-8&text=${text}`;
    return {
      request: `GET /cgi-bin/sendsms?${query} HTTP/1.1\r\nHost: 127.0.0.1:${sendPort}\r\n\r\n`,
      messages: 1,
      rials: 0,
    };
  });
}
