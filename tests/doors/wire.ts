/** Connections by hand: what a client of HTTP would not let anybody send. */
import { connect, type Socket } from 'node:net';

export type Wire = {
  readonly socket: Socket;
  /** Everything that came so far. */
  readonly got: string;
  write(text: string | Uint8Array): void;
  /** Resolves with milliseconds since the opening when the other side has closed; null when it has not within the time. */
  closed(withinMs: number): Promise<number | null>;
  /** Resolves when what came fits; throws after the time. */
  until(pattern: RegExp, withinMs: number): Promise<void>;
  end(): void;
};

/** Opens one connection to the loopback. */
export function openWire(port: number): Promise<Wire> {
  const openedAt = performance.now();
  const socket = connect(port, '127.0.0.1');
  let got = '';
  let closedAt: number | null = null;
  const waiters = new Set<() => void>();
  const wake = (): void => {
    for (const waiter of [...waiters]) waiter();
  };
  socket.on('data', (chunk) => {
    got += chunk.toString('latin1');
    wake();
  });
  // A reset is as good an end as any other.
  socket.on('error', () => undefined);
  socket.on('close', () => {
    closedAt ??= performance.now();
    wake();
  });
  const when = (holds: () => boolean, withinMs: number): Promise<boolean> =>
    new Promise((resolve) => {
      const done = (value: boolean): void => {
        waiters.delete(look);
        clearTimeout(limit);
        resolve(value);
      };
      const look = (): void => {
        if (holds()) done(true);
      };
      const limit = setTimeout(() => done(false), withinMs);
      waiters.add(look);
      look();
    });
  const wire: Wire = {
    socket,
    get got() {
      return got;
    },
    write: (text) => {
      if (!socket.destroyed) socket.write(text);
    },
    closed: async (withinMs) =>
      (await when(() => closedAt !== null, withinMs)) ? (closedAt as number) - openedAt : null,
    until: async (pattern, withinMs) => {
      if (!(await when(() => pattern.test(got), withinMs)))
        throw new Error(`${pattern} did not come: ${got.slice(0, 300)}`);
    },
    end: () => socket.destroy(),
  };
  return new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(wire));
    socket.once('error', reject);
  });
}

/** Writes a byte now and then until everything is out or the connection is closed. */
export function drip(wire: Wire, text: string, everyMs: number): void {
  let at = 0;
  const timer = setInterval(() => {
    if (at >= text.length || wire.socket.destroyed) clearInterval(timer);
    else wire.write(text[at++] as string);
  }, everyMs);
}
