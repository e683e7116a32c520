/** An HTTP operator of a few lines whose every byte and every close is the test's choice. */
import net from 'node:net';
import tls from 'node:tls';
import { until as poll } from '../../support/poll.ts';
import type { Certificate } from './certificate.ts';

export type Arrival = {
  line: string;
  headers: Record<string, string>;
  body: string;
  socket: net.Socket;
  connection: number;
};

export type FakeOperator = {
  url: string;
  port: number;
  arrivals: Arrival[];
  /** Connections that were ever opened, and the most that were open at once. */
  opened: () => number;
  openedAtOnce: () => number;
  /** Bytes that came before any whole request was read. */
  bytes: () => number;
  close: () => Promise<void>;
};

export const answer = (status: number, body = '', headers: Record<string, string> = {}): string =>
  `HTTP/1.1 ${status} Word\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

export async function fakeHttpOperator(
  onRequest: (arrival: Arrival, nth: number) => void,
  certificate?: Certificate,
): Promise<FakeOperator> {
  const arrivals: Arrival[] = [];
  const sockets = new Set<net.Socket>();
  let opened = 0;
  let openedAtOnce = 0;
  let bytes = 0;
  const onSocket = (socket: net.Socket): void => {
    const connection = ++opened;
    sockets.add(socket);
    openedAtOnce = Math.max(openedAtOnce, sockets.size);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    let pending = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        const headEnd = pending.indexOf('\r\n\r\n');
        if (headEnd < 0) return;
        const [line = '', ...rest] = pending.toString('latin1', 0, headEnd).split('\r\n');
        const headers = Object.fromEntries(
          rest.map((header) => [header.slice(0, header.indexOf(':')).toLowerCase(), header.replace(/^[^:]*:\s*/, '')]),
        );
        const end = headEnd + 4 + Number(headers['content-length'] ?? 0);
        if (pending.length < end) return;
        const arrival = { line, headers, body: pending.toString('utf8', headEnd + 4, end), socket, connection };
        pending = pending.subarray(end);
        arrivals.push(arrival);
        onRequest(arrival, arrivals.length);
      }
    });
  };
  const server = certificate ? tls.createServer(certificate, onSocket) : net.createServer(onSocket);
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  return {
    url: `${certificate ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    arrivals,
    opened: () => opened,
    openedAtOnce: () => openedAtOnce,
    bytes: () => bytes,
    close: () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** Asked often: what these tests wait for takes milliseconds. */
export const until = (check: () => boolean, what: string): Promise<true> =>
  poll(what, check, { withinMs: 5_000, everyMs: 5 });
