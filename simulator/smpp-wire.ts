/** The bytes of one SMPP link: PDUs cut out of what arrives, and what leaves gathered into one write a tick. */
import type { Socket } from 'node:net';
import { HEADER_BYTES, PDU_MAX_BYTES } from './smpp-pdu.ts';

/** What a peer that does not read may leave in our memory. */
const UNREAD_MAX_BYTES = 16_777_216;
/** Sizes of the pieces in which fragments go out: never a whole header. */
const PIECES = [1, 2, 3, 5, 7];

export type Frames = {
  push(chunk: Buffer): void;
  /** Offers again what was not taken. */
  resume(): void;
  /** Forgets what has arrived and takes nothing more. */
  stop(): void;
};

/**
 * @param take one whole PDU, a view of the socket's buffer; false says that it is not taken, and nor is what follows,
 * until `resume`
 * @param broken a length that cannot be; where the next PDU begins is then unknown for good
 */
export function createFrames(take: (pdu: Buffer) => boolean, broken: (header: Buffer) => void): Frames {
  let bytes: Buffer | null = null;
  let held = false;
  let stopped = false;

  const read = (): void => {
    const all = bytes;
    if (all === null) return;
    bytes = null;
    let at = 0;
    while (!stopped && all.length - at >= 4) {
      const length = all.readUInt32BE(at);
      if (length < HEADER_BYTES || length > PDU_MAX_BYTES) {
        stopped = true;
        broken(all.subarray(at));
      } else if (all.length - at < length) break;
      else if (take(all.subarray(at, at + length))) at += length;
      else {
        held = true;
        break;
      }
    }
    if (!stopped && at < all.length) bytes = at === 0 ? all : all.subarray(at);
  };

  return {
    push: (chunk) => {
      if (stopped) return;
      bytes = bytes === null ? chunk : Buffer.concat([bytes, chunk]);
      if (!held) read();
    },
    resume: () => {
      held = false;
      read();
    },
    stop: () => {
      stopped = true;
      bytes = null;
    },
  };
}

export type Outbox = {
  send(pdu: Buffer): void;
  /** Writes what is waiting, unless the operator is frozen. */
  flush(): void;
  /** Half of this PDU goes out behind the rest, and the link ends. */
  cut(pdu: Buffer): void;
  /** Drops what is waiting and sends nothing more. */
  stop(): void;
};

type Mood = { frozen(): boolean; inFragments(): boolean };

export function createOutbox(socket: Socket, { frozen, inFragments }: Mood): Outbox {
  let waiting: Buffer[] = [];
  let flushing = false;
  let stopped = false;
  let fragments: Buffer = Buffer.alloc(0);
  let pieces = 0;
  let trickling = false;

  /** A few bytes a turn of the event loop, so that they leave in packets of their own. */
  const trickle = (): void => {
    trickling = fragments.length > 0 && !socket.destroyed;
    if (!trickling) return;
    const size = PIECES[pieces++ % PIECES.length] as number;
    socket.write(fragments.subarray(0, size));
    fragments = fragments.subarray(size);
    setImmediate(trickle);
  };

  const flush = (): void => {
    flushing = false;
    if (stopped || waiting.length === 0 || frozen()) return;
    const all = waiting.length === 1 ? (waiting[0] as Buffer) : Buffer.concat(waiting);
    waiting = [];
    if (inFragments() || fragments.length > 0) {
      fragments = Buffer.concat([fragments, all]);
      if (!trickling) trickle();
    } else socket.write(all);
    if (socket.writableLength > UNREAD_MAX_BYTES) socket.destroy();
  };

  return {
    send: (pdu) => {
      if (stopped) return;
      waiting.push(pdu);
      if (flushing) return;
      flushing = true;
      queueMicrotask(flush);
    },
    flush,
    cut: (pdu) => {
      const half = Buffer.concat([fragments, ...waiting, pdu.subarray(0, pdu.length >> 1)]);
      stopped = true;
      fragments = Buffer.alloc(0);
      socket.end(half, () => socket.destroy());
    },
    stop: () => {
      stopped = true;
      waiting = [];
    },
  };
}
