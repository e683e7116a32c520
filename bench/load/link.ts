/**
 * A kept-alive connection with at most one request on its way. By Bun's own sockets: through node:net's streams a request costs
 * the generator a third more, on the cores that the measured system needs.
 */
import { type Answer, readAnswer } from './answer.ts';
import { type Bullet, mark } from './bullet.ts';

export type Link = {
  readonly socket: Bun.Socket;
  /** The request on its way; null while the connection is free. */
  bullet: Bullet | null;
  serial: number;
  /** Monotonic milliseconds from which its latency counts. */
  since: number;
  partial: Buffer | null;
  /** What the system has not taken yet of the request. */
  unsent: Buffer | null;
};

export type LinkEvents = {
  /** The link still holds its request; it is free when this returns. */
  onAnswer(link: Link, answer: Answer): void;
  onFree(link: Link): void;
  /** @param wasBusy a request was on its way */
  onClose(link: Link, wasBusy: boolean): void;
};

const CONNECT_WITHIN_MS = 10_000;

function raise(thrown: unknown): never {
  throw thrown;
}

/** Connects; rejects when nobody answers. */
export async function openLink({ host, port }: { host: string; port: number }, events: LinkEvents): Promise<Link> {
  let link: Link | null = null;
  let tooLate = false;
  const connecting = Bun.connect({
    hostname: host,
    port,
    socket: {
      open: (socket) => {
        link = { socket, bullet: null, serial: 0, since: 0, partial: null, unsent: null };
      },
      data: (_, chunk) => receive(link as Link, chunk, events),
      drain: () => flush(link as Link),
      close: () => {
        if (link === null) return;
        const wasBusy = link.bullet !== null;
        link.bullet = null;
        events.onClose(link, wasBusy);
      },
      // A cut connection is told by close alone: what comes here was thrown by an answer that cannot be read.
      error: (_, thrown) => void setImmediate(() => raise(thrown)),
    },
  });
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    tooLate = true;
    late.reject(new Error('no connection in time'));
  }, CONNECT_WITHIN_MS);
  connecting.then(
    (socket) => tooLate && socket.terminate(),
    () => undefined,
  );
  try {
    await Promise.race([connecting, late.promise]);
    return link as unknown as Link;
  } finally {
    clearTimeout(timer);
  }
}

function receive(link: Link, chunk: Buffer, { onAnswer, onFree }: LinkEvents): void {
  const bytes = link.partial ? Buffer.concat([link.partial, chunk]) : chunk;
  const answer = readAnswer(bytes);
  link.partial = answer === null ? bytes : null;
  if (answer === null || link.bullet === null) return;
  onAnswer(link, answer);
  link.bullet = null;
  onFree(link);
}

function flush(link: Link): void {
  if (link.unsent === null) return;
  const taken = link.socket.write(link.unsent);
  link.unsent = taken < link.unsent.length ? link.unsent.subarray(Math.max(taken, 0)) : null;
}

export function fire(link: Link, bullet: Bullet, serial: number, since: number): void {
  mark(bullet, serial);
  link.bullet = bullet;
  link.serial = serial;
  link.since = since;
  link.unsent = bullet.bytes;
  flush(link);
}
