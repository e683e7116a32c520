/** The seam between the two runtimes: this file alone names Bun or Deno. */

export type Server = { readonly port: number; stop(): Promise<void> };
type Handler = (request: Request) => Response | Promise<Response>;
type Options = { hostname: string; port: number; bodyMaxBytes: number };

type BunServer = { port: number; stop(force?: boolean): Promise<void> };
type BunLike = { serve(options: Record<string, unknown>): BunServer; version: string };
type DenoServer = { addr: { port: number }; shutdown(): Promise<void> };
type DenoLike = { serve(options: Record<string, unknown>, handler: Handler): DenoServer; version: { deno: string } };

const globals = globalThis as unknown as { Bun?: BunLike; Deno?: DenoLike };

export const runtimeName = globals.Deno ? 'deno' : 'bun';

/** Listens for HTTP. Throws when the port is taken. `stop` lets requests in flight finish. */
export function serve(handler: Handler, { hostname, port, bodyMaxBytes }: Options): Server {
  if (globals.Deno) {
    const server = globals.Deno.serve({ hostname, port, onListen: () => undefined }, handler);
    return { port: server.addr.port, stop: () => server.shutdown() };
  }
  if (!globals.Bun) throw new Error('this runs on Bun or on Deno');
  const server = globals.Bun.serve({
    hostname,
    port,
    fetch: handler,
    maxRequestBodySize: bodyMaxBytes,
    idleTimeout: 60,
  });
  return { port: server.port, stop: () => server.stop() };
}
