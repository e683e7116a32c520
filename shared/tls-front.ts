/**
 * TLS in front of a plain door of this process. Deno's HTTP/2 server takes a certificate and then speaks plainly all the same, so
 * there gRPC listens on the loopback and this stands before it.
 */
import { connect, type Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { Tls } from './credentials.ts';

export type TlsFront = { readonly port: number; close(): void };

/**
 * Listens with TLS and hands every connection on to a port of the loopback. Throws when the port is taken.
 * @param protocols what ALPN offers, such as `h2`
 */
export function openTlsFront(
  { cert, key }: Tls,
  host: string,
  port: number,
  innerPort: number,
  protocols: readonly string[],
): Promise<TlsFront> {
  const open = new Set<Socket | TLSSocket>();
  const server = createServer({ cert, key, minVersion: 'TLSv1.2', ALPNProtocols: [...protocols] }, (outer) => {
    const inner = connect(innerPort, '127.0.0.1');
    for (const socket of [outer, inner]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        open.delete(socket);
        outer.destroy();
        inner.destroy();
      });
    }
    outer.pipe(inner).pipe(outer);
  });
  // Whoever cannot shake hands is of no interest to anybody.
  server.on('tlsClientError', () => undefined);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      resolve({
        port: (server.address() as { port: number }).port,
        close: () => {
          server.close();
          for (const socket of open) socket.destroy();
        },
      });
    });
  });
}
