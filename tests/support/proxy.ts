/** A TCP proxy that misbehaves on demand: what it does to a connection is what a network or a dying server does. */
import { connect, createServer, type Socket } from 'node:net';

export type FaultyProxy = {
  readonly port: number;
  /** True: what the server answers is swallowed. Requests still arrive. */
  swallow: boolean;
  /** True: new connections are refused by being cut at once. */
  refuse: boolean;
  /** What passes, in both directions, arrives so much later: milliseconds. The order of the bytes stays. */
  delayMs: number;
  /** Bytes that the server answered and nobody got. */
  readonly swallowed: number;
  /** Cuts every connection. */
  cut(): void;
  close(): Promise<void>;
};

/** Hands bytes on to a socket, each after the delay that holds as it comes and never before what came before it. */
function createLane(to: Socket, delayMs: () => number): (bytes: Buffer) => void {
  const waiting: Buffer[] = [];
  let lastAt = 0;
  return (bytes) => {
    const now = performance.now();
    lastAt = Math.max(lastAt, now + delayMs());
    if (waiting.length === 0 && lastAt <= now) return void to.write(bytes);
    waiting.push(bytes);
    // Timers of nearly the same moment may fire in any order: each hands on whatever is first.
    setTimeout(() => {
      const first = waiting.shift();
      if (first && !to.destroyed) to.write(first);
    }, lastAt - now);
  };
}

/** @param toPort where it leads; a function is asked at each new connection */
export async function startProxy(toPort: number | (() => number)): Promise<FaultyProxy> {
  const open = new Set<Socket>();
  let swallowed = 0;
  const server = createServer((client) => {
    if (proxy.refuse) return void client.destroy();
    const upstream = connect(typeof toPort === 'number' ? toPort : toPort(), '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.setNoDelay(true);
      open.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        open.delete(socket);
        other.destroy();
      });
    }
    const up = createLane(upstream, () => proxy.delayMs);
    const down = createLane(client, () => proxy.delayMs);
    client.on('data', up);
    upstream.on('data', (bytes) => {
      if (proxy.swallow) swallowed += bytes.length;
      else down(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: FaultyProxy = {
    port: (server.address() as { port: number }).port,
    swallow: false,
    refuse: false,
    delayMs: 0,
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
