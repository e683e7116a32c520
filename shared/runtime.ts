/** The seam between the two runtimes: this file alone names Bun or Deno. */

export type Server = { readonly port: number; stop(): Promise<void> };
/** What a runtime knows of the connection that a request came by. */
export type Peer = { requestIP(request: Request): { address: string } | null } | { remoteAddr: { hostname: string } };
type Handler = (request: Request, peer: Peer) => Response | Promise<Response>;
export type ServeOptions = {
  hostname: string;
  port: number;
  bodyMaxBytes: number;
  /** PEM texts: TLS and nothing else is spoken. */
  tls?: { cert: string; key: string } | null;
  /**
   * After so many seconds without a byte a connection is closed, and so is a request whose body has not come whole by then. Bun
   * alone; it also closes what has not sent whole headers within some 12 s.
   */
  idleS?: number;
};

type BunServer = { port: number; stop(force?: boolean): Promise<void> };
/** `write` answers how many of the bytes it took; `drain` comes when it takes more. */
type BunSocket = { write(bytes: Uint8Array): number; terminate(): void; setNoDelay(noDelay: boolean): void };
type BunLike = {
  serve(options: Record<string, unknown>): BunServer;
  connect(options: Record<string, unknown>): Promise<BunSocket>;
  version: string;
};
type DenoServer = { addr: { port: number }; shutdown(): Promise<void> };
type DenoLike = {
  serve(options: Record<string, unknown>, handler: Handler): DenoServer;
  createHttpClient(options: { caCerts: string[] }): unknown;
  version: { deno: string };
};

const globals = globalThis as unknown as { Bun?: BunLike; Deno?: DenoLike };

export const runtimeName = globals.Deno ? 'deno' : 'bun';

const IDLE_S = 60;

/** Listens for HTTP. Throws when the port is taken. `stop` lets requests in flight finish. */
export function serve(handler: Handler, { hostname, port, bodyMaxBytes, tls, idleS = IDLE_S }: ServeOptions): Server {
  if (globals.Deno) {
    const server = globals.Deno.serve({ hostname, port, ...tls, onListen: () => undefined }, handler);
    return { port: server.addr.port, stop: () => server.shutdown() };
  }
  if (!globals.Bun) throw new Error('this runs on Bun or on Deno');
  const server = globals.Bun.serve({
    hostname,
    port,
    fetch: handler,
    maxRequestBodySize: bodyMaxBytes,
    idleTimeout: idleS,
    ...(tls ? { tls } : {}),
  });
  return { port: server.port, stop: () => server.stop() };
}

/** The address at the other end of a request's connection; empty when it is gone. */
export function peerAddress(request: Request, peer: Peer): string {
  return 'remoteAddr' in peer ? peer.remoteAddr.hostname : (peer.requestIP(request)?.address ?? '');
}

/** `fetch` that trusts these authorities (PEM) and no others. */
export function fetchTrusting(ca: string): (url: string | URL, init?: RequestInit) => Promise<Response> {
  const options: object = globals.Deno ? { client: globals.Deno.createHttpClient({ caCerts: [ca] }) } : { tls: { ca } };
  return (url, init = {}) => fetch(url, { ...init, ...options });
}

/** A TCP connection without the layers of node:net, which take a quarter of what a small request costs its sender. */
export type RawSocket = {
  /** Takes the bytes as they are now: who writes them must not change them before they are sent. */
  write(bytes: Buffer): void;
  /** Closes it at once; `closed` is told. */
  destroy(): void;
};
export type RawEvents = {
  /** The bytes are the receiver's only until it returns. */
  received(bytes: Buffer): void;
  /** By either side, or by a fault: whatever was written may not have come. */
  closed(): void;
};

/** Connects without delay for small writes; rejects when nobody answers. Bun alone. */
export async function connectRaw(hostname: string, port: number, events: RawEvents): Promise<RawSocket> {
  if (!globals.Bun) throw new Error('this runs on Bun');
  let waiting: Buffer[] = [];
  const send = (socket: BunSocket): void => {
    for (let next = waiting[0]; next; next = waiting[0]) {
      const taken = Math.max(0, socket.write(next));
      if (taken < next.length) {
        waiting[0] = next.subarray(taken);
        return;
      }
      waiting.shift();
    }
  };
  const socket = await globals.Bun.connect({
    hostname,
    port,
    socket: {
      data: (_: BunSocket, bytes: Buffer) => events.received(bytes),
      drain: send,
      error: () => undefined,
      close: () => {
        waiting = [];
        events.closed();
      },
    },
  });
  socket.setNoDelay(true);
  return {
    write: (bytes) => {
      waiting.push(bytes);
      // What the socket did not take goes on with its drain, and this behind it.
      if (waiting.length === 1) send(socket);
    },
    destroy: () => socket.terminate(),
  };
}
