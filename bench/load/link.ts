/** A kept-alive connection with at most one request on its way. */
import { connect, type Socket } from 'node:net';
import { type Answer, readAnswer } from './answer.ts';
import { type Bullet, mark } from './bullet.ts';

export type Link = {
  socket: Socket;
  /** The request on its way; null while the connection is free. */
  bullet: Bullet | null;
  serial: number;
  /** Monotonic milliseconds from which its latency counts. */
  since: number;
  partial: Buffer | null;
};

export type LinkEvents = {
  /** The link still holds its request; it is free when this returns. */
  onAnswer(link: Link, answer: Answer): void;
  onFree(link: Link): void;
  /** @param wasBusy a request was on its way */
  onClose(link: Link, wasBusy: boolean): void;
};

const CONNECT_WITHIN_MS = 10_000;

/** Connects; rejects when nobody answers. */
export function openLink({ host, port }: { host: string; port: number }, events: LinkEvents): Promise<Link> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    socket.setTimeout(CONNECT_WITHIN_MS, () => socket.destroy(new Error('no connection in time')));
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.off('error', reject);
      const link: Link = { socket, bullet: null, serial: 0, since: 0, partial: null };
      listen(link, events);
      resolve(link);
    });
  });
}

function listen(link: Link, { onAnswer, onFree, onClose }: LinkEvents): void {
  link.socket.on('data', (chunk: Buffer) => {
    const bytes = link.partial ? Buffer.concat([link.partial, chunk]) : chunk;
    const answer = readAnswer(bytes);
    link.partial = answer === null ? bytes : null;
    if (answer === null || link.bullet === null) return;
    onAnswer(link, answer);
    link.bullet = null;
    onFree(link);
  });
  link.socket.on('error', () => undefined);
  link.socket.on('close', () => {
    const wasBusy = link.bullet !== null;
    link.bullet = null;
    onClose(link, wasBusy);
  });
}

export function fire(link: Link, bullet: Bullet, serial: number, since: number): void {
  mark(bullet, serial);
  link.bullet = bullet;
  link.serial = serial;
  link.since = since;
  link.socket.write(bullet.bytes);
}
