/** The other side of the simulator's doors: SMPP and HTTP clients that show what really came over the socket. */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import smpp, { type ConnectOptions, type Pdu, type PduFields, type RequestCommand, type Session } from 'smpp';
import type { Simulator } from '../../simulator/index.ts';

/** Polls until `holds`, at most `waitMs`. Throws with `what` when it never does. */
export async function until(what: string, holds: () => unknown, waitMs = 4_000): Promise<void> {
  const end = performance.now() + waitMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`never happened: ${what}`);
    await delay(2);
  }
}

export type Peer = {
  readonly session: Session;
  /** deliver_sm that came, in order. */
  readonly receipts: Pdu[];
  /** Every PDU that came, in order. */
  readonly arrived: Pdu[];
  /** What each receipt is answered with; null for no answer. */
  receiptStatus: number | null;
  answersEnquiries: boolean;
  readonly isClosed: boolean;
  readonly closed: Promise<void>;
  /** Rejects when the link closes first. */
  request(command: RequestCommand, fields?: PduFields): Promise<Pdu>;
  submit(fields: PduFields): Promise<Pdu>;
};

/** Connects without binding; rejects when it is refused. */
export async function connectPeer(port: number, options: ConnectOptions = {}): Promise<Peer> {
  const session = smpp.connect({ host: '127.0.0.1', port, ...options });
  let isClosed = false;
  const closed = new Promise<void>((resolve) => {
    session.on('close', () => {
      isClosed = true;
      resolve();
    });
  });
  const peer: Peer = {
    session,
    receipts: [],
    arrived: [],
    receiptStatus: 0,
    answersEnquiries: true,
    get isClosed() {
      return isClosed;
    },
    closed,
    request: (command, fields = {}) =>
      new Promise((resolve, reject) => {
        const sent = session[command](fields, resolve);
        if (!sent) reject(new Error('the link cannot be written'));
        void closed.then(() => reject(new Error('the link closed')));
      }),
    submit: (fields) =>
      peer.request('submit_sm', { source_addr: '30001234', dest_addr_ton: 1, dest_addr_npi: 1, ...fields }),
  };
  session.on('pdu', (pdu) => peer.arrived.push(pdu));
  session.on('deliver_sm', (pdu) => {
    peer.receipts.push(pdu);
    if (peer.receiptStatus !== null) session.send(pdu.response({ command_status: peer.receiptStatus }));
  });
  session.on('enquire_link', (pdu) => {
    if (peer.answersEnquiries) session.send(pdu.response());
  });
  await new Promise<void>((resolve, reject) => {
    session.on(options.tls ? 'secureConnect' : 'connect', resolve);
    session.on('error', reject);
  });
  return peer;
}

/** Connects and binds. */
export async function bindPeer(
  simulator: Simulator,
  systemId: string,
  as: 'transceiver' | 'transmitter' | 'receiver' = 'transceiver',
): Promise<Peer> {
  const peer = await connectPeer(simulator.smppPort);
  const answer = await peer.request(`bind_${as}`, { system_id: systemId, password: systemId });
  if (answer.command_status !== 0) throw new Error(`bind answered ${answer.command_status}`);
  return peer;
}

export const ucs2 = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16();

/** A UDH for a part of a long message, with an 8 or 16 bit reference. */
export function udh(reference: number, total: number, number: number, bits: 8 | 16 = 8): Buffer {
  return bits === 8
    ? Buffer.from([5, 0, 3, reference, total, number])
    : Buffer.from([6, 8, 4, reference >> 8, reference & 255, total, number]);
}

export type HttpSubmit = { message_id?: string; to: string; from?: string; text: string; encoding?: string };

/** Submits over HTTP, as the gateway's connector does. */
export function post(
  simulator: Simulator,
  operator: string,
  submit: Partial<HttpSubmit>,
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(`${simulator.httpUrl}/${operator}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ from: '30001234', text: 'سلام', encoding: 'ucs2', ...submit }),
    signal: signal ?? null,
  });
}

export type Raw = { readonly socket: Socket; readonly text: string; readonly isClosed: boolean };

/** A bare connection that keeps what it gets. */
export async function connectRaw(port: number): Promise<Raw> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  let isClosed = false;
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  socket.on('close', () => {
    isClosed = true;
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  socket.on('error', () => undefined);
  return {
    socket,
    get text() {
      return text;
    },
    get isClosed() {
      return isClosed;
    },
  };
}
