/**
 * An SMSC of a few lines for what the simulator has no dial for: the test answers each PDU by hand. It reads and writes with
 * the `smpp` package's codec, so that both ends do not share a mistake.
 */
import net from 'node:net';
import smpp, { type Command, type Pdu, type PduFields } from 'smpp';

export type FakeLink = {
  socket: net.Socket;
  role: string;
  /** Everything that came, in order. */
  pdus: Pdu[];
  send(command: Command, fields?: PduFields): void;
  answer(pdu: Pdu, fields?: PduFields): void;
};
export type FakeSmsc = {
  port: number;
  links: FakeLink[];
  /** Those that are bound and open. */
  live(): FakeLink[];
  submits(): Pdu[];
  close(): Promise<void>;
};

type Script = {
  /** Without it submits stay unanswered. */
  onSubmit?: (pdu: Pdu, link: FakeLink, nth: number) => void;
  /** Every other PDU; true says that the test has dealt with it. */
  onPdu?: (pdu: Pdu, link: FakeLink) => boolean;
};

export async function fakeSmsc(script: Script = {}): Promise<FakeSmsc> {
  const links: FakeLink[] = [];
  const sockets = new Set<net.Socket>();
  let submits = 0;
  const handle = (pdu: Pdu, link: FakeLink): void => {
    link.pdus.push(pdu);
    if (pdu.command === 'submit_sm') {
      submits += 1;
      script.onSubmit?.(pdu, link, submits);
    } else if (script.onPdu?.(pdu, link)) return;
    else if (pdu.command.startsWith('bind_')) {
      link.role = pdu.command.slice(5);
      link.answer(pdu, { system_id: 'fake' });
    } else if (pdu.command === 'enquire_link') link.answer(pdu);
    else if (pdu.command === 'unbind') {
      link.answer(pdu);
      link.socket.end();
    }
  };
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    const send = (pdu: Pdu): void => {
      if (socket.writable) socket.write(pdu.toBuffer());
    };
    const link: FakeLink = {
      socket,
      role: '',
      pdus: [],
      send: (command, fields = {}) => send(new smpp.PDU(command, fields)),
      answer: (pdu, fields) => send(pdu.response(fields)),
    };
    links.push(link);
    let pending = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 4 && pending.length >= pending.readUInt32BE(0)) {
        const length = pending.readUInt32BE(0);
        const frame = Buffer.from(pending.subarray(0, length));
        pending = pending.subarray(length);
        handle(new smpp.PDU(frame), link);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    links,
    live: () => links.filter(({ role, socket }) => role !== '' && !socket.destroyed),
    submits: () => links.flatMap(({ pdus }) => pdus.filter(({ command }) => command === 'submit_sm')),
    close: () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
