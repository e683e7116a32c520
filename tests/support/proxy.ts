/** A TCP proxy that misbehaves on demand: what it does to a connection is what a network or a dying server does. */
import { connect, createServer, type Socket } from 'node:net';

export type FaultyProxy = {
  readonly port: number;
  /** True: what the server answers is swallowed. Requests still arrive. */
  swallow: boolean;
  /** True: new connections are refused by being cut at once. */
  refuse: boolean;
  /** Bytes that the server answered and nobody got. */
  readonly swallowed: number;
  /** Cuts every connection. */
  cut(): void;
  close(): Promise<void>;
};

export async function startProxy(toPort: number): Promise<FaultyProxy> {
  const open = new Set<Socket>();
  let swallowed = 0;
  const server = createServer((client) => {
    if (proxy.refuse) return void client.destroy();
    const upstream = connect(toPort, '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        open.delete(socket);
        other.destroy();
      });
    }
    client.on('data', (bytes) => void upstream.write(bytes));
    upstream.on('data', (bytes) => {
      if (proxy.swallow) swallowed += bytes.length;
      else client.write(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: FaultyProxy = {
    port: (server.address() as { port: number }).port,
    swallow: false,
    refuse: false,
    get swallowed() {
      return swallowed;
    },
    cut: () => {
      for (const socket of open) socket.destroy();
    },
    close: () => {
      proxy.cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return proxy;
}
