/** A kept-alive connection with at most one request on its way. */
import { connectRaw, type RawSocket } from '../../shared/runtime.ts';
import { type Answer, readAnswer } from './answer.ts';
import { type Bullet, mark } from './bullet.ts';

export type Link = {
  socket: RawSocket;
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

/** Connects; rejects when nobody answers. */
export async function openLink({ host, port }: { host: string; port: number }, events: LinkEvents): Promise<Link> {
  const { onAnswer, onFree, onClose } = events;
  let link: Link | null = null;
  const socket = await connectRaw(host, port, {
    received: (chunk) => {
      if (link === null) return;
      const bytes = link.partial ? Buffer.concat([link.partial, chunk]) : chunk;
      const answer = readAnswer(bytes);
      // The chunk is ours only until this returns.
      link.partial = answer === null ? Buffer.from(bytes) : null;
      if (answer === null || link.bullet === null) return;
      onAnswer(link, answer);
      link.bullet = null;
      onFree(link);
    },
    closed: () => {
      if (link === null) return;
      const wasBusy = link.bullet !== null;
      link.bullet = null;
      onClose(link, wasBusy);
    },
  });
  link = { socket, bullet: null, serial: 0, since: 0, partial: null };
  return link;
}

export function fire(link: Link, bullet: Bullet, serial: number, since: number): void {
  mark(bullet, serial);
  link.bullet = bullet;
  link.serial = serial;
  link.since = since;
  link.socket.write(bullet.bytes);
}
