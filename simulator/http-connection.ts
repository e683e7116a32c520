/**
 * HTTP/1.1 on a bare socket: keep-alive, pipelining, bodies by length or in chunks. The runtimes' own servers cannot be
 * silent, drop a link between accepting and answering, or freeze, and cost more per message than all the rest of the
 * simulator; it must not eat the cores that a benchmark measures.
 */
import type { Socket } from 'node:net';

const HEAD_MAX_BYTES = 16_384;
const BODY_MAX_BYTES = 1_048_576;
/** Requests of one connection that may wait for their answers; past it nothing more is read from it. */
const WAITING_MAX = 1_000;

export type Request = { readonly method: string; readonly target: string; readonly body: Buffer };

/** Whoever handles a request answers once, or drops the connection, or (on purpose) never does either. */
export type Reply = {
  answer(status: number, body: string, headers?: string): void;
  drop(): void;
};

/**
 * Handles one request at once or later. `'wait'` says that it was not taken: it is offered again by `resume`.
 */
export type Handle = (request: Request, reply: Reply, connection: Connection) => 'wait' | undefined;

export type Connection = { resume(): void; destroy(): void };

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  401: 'Unauthorized',
  404: 'Not Found',
  405: 'Method Not Allowed',
  413: 'Content Too Large',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

export const JSON_TYPE = 'content-type: application/json\r\n';
export const PROBLEM_TYPE = 'content-type: application/problem+json\r\n';

/** A whole answer. `headers` are header lines, each with its line end. */
export function writeAnswer(status: number, body: string, headers = JSON_TYPE): string {
  return `HTTP/1.1 ${status} ${REASONS[status] ?? 'Status'}\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

type Head = {
  method: string;
  target: string;
  /** Bytes of the body; -1 when it comes in chunks. */
  length: number;
  close: boolean;
  continues: boolean;
};

/** The head without its blank line, or null when it is not HTTP/1. */
export function readHead(head: string): Head | null {
  const lineEnd = head.indexOf('\r\n');
  const line = lineEnd < 0 ? head : head.slice(0, lineEnd);
  const first = line.indexOf(' ');
  const last = line.lastIndexOf(' ');
  if (first <= 0 || last <= first || !line.startsWith('HTTP/1.', last + 1)) return null;
  const rest = lineEnd < 0 ? '' : head.slice(lineEnd);
  const length = /\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*(?:\r\n|$)/i.exec(rest);
  const chunked = /\r\ntransfer-encoding:[^\r]*chunked/i.test(rest);
  if (!length && !chunked && /\r\ncontent-length:/i.test(rest)) return null;
  // A body whose end two headers state differently is how requests are smuggled.
  if (length && chunked) return null;
  return {
    method: line.slice(0, first),
    target: line.slice(first + 1, last),
    length: chunked ? -1 : length ? Number(length[1]) : 0,
    close: line.endsWith('/1.0') || /\r\nconnection:[^\r]*close/i.test(rest),
    continues: /\r\nexpect:[ \t]*100-continue/i.test(rest),
  };
}

type Chunked = { body: Buffer; end: number } | 'more' | 'bad' | 'large';

/** A chunked body that starts at `at`. */
export function readChunks(bytes: Buffer, at: number): Chunked {
  const pieces: Buffer[] = [];
  let total = 0;
  for (let cursor = at; ; ) {
    const lineEnd = bytes.indexOf('\r\n', cursor);
    if (lineEnd < 0) return bytes.length - cursor > 1_024 ? 'bad' : 'more';
    const size = /^([0-9a-f]{1,8})(?:[ \t]*;.*)?$/i.exec(bytes.toString('latin1', cursor, lineEnd));
    if (!size) return 'bad';
    const length = Number.parseInt(size[1] as string, 16);
    cursor = lineEnd + 2;
    if (length === 0) {
      // Trailers, if any, end with a blank line.
      const end = bytes.indexOf('\r\n', cursor) === cursor ? cursor : bytes.indexOf('\r\n\r\n', cursor);
      if (end < 0) return bytes.length - cursor > HEAD_MAX_BYTES ? 'bad' : 'more';
      return { body: Buffer.concat(pieces), end: end + (end === cursor ? 2 : 4) };
    }
    total += length;
    if (total > BODY_MAX_BYTES) return 'large';
    if (bytes.length < cursor + length + 2) return 'more';
    if (bytes[cursor + length] !== 13 || bytes[cursor + length + 1] !== 10) return 'bad';
    pieces.push(bytes.subarray(cursor, cursor + length));
    cursor += length + 2;
  }
}

type Read = { request: Request; close: boolean; end: number } | { refuse: number } | 'more';

export function serveConnection(socket: Socket, handle: Handle): Connection {
  let bytes: Buffer | null = null;
  let head: Head | null = null;
  let bodyAt = 0;
  /** Answers owed, in order; a string when it is ready, null while it is not. */
  const owed: { text: string | null; close: boolean }[] = [];
  let out = '';
  let reading = false;
  let held = false;
  let ended = false;
  let closed = false;

  const flush = (): void => {
    if (out === '' || closed) return;
    const text = out;
    out = '';
    socket.write(text);
  };

  const settle = (): void => {
    while (owed.length > 0 && (owed[0] as { text: string | null }).text !== null) {
      const { text, close } = owed.shift() as { text: string; close: boolean };
      out += text;
      if (close) {
        ended = true;
        flush();
        socket.end();
        return;
      }
    }
    if (!reading) {
      flush();
      if (held && owed.length < WAITING_MAX) read();
    }
  };

  const destroy = (): void => {
    closed = true;
    out = '';
    bytes = null;
    socket.destroy();
  };

  const refuse = (status: number): void => {
    ended = true;
    bytes = null;
    owed.push({
      text: writeAnswer(status, JSON.stringify({ error: REASONS[status] }), `${JSON_TYPE}connection: close\r\n`),
      close: true,
    });
    settle();
  };

  const readOne = (from: Buffer): Read => {
    if (head === null) {
      const end = from.indexOf('\r\n\r\n');
      if (end < 0) return from.length > HEAD_MAX_BYTES ? { refuse: 431 } : 'more';
      if (end > HEAD_MAX_BYTES) return { refuse: 431 };
      head = readHead(from.toString('latin1', 0, end));
      if (head === null) return { refuse: 400 };
      bodyAt = end + 4;
      if (head.length > BODY_MAX_BYTES) return { refuse: 413 };
      if (head.continues && from.length === bodyAt) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    }
    const { method, target, length, close } = head;
    if (length >= 0) {
      const end = bodyAt + length;
      if (from.length < end) return 'more';
      return { request: { method, target, body: from.subarray(bodyAt, end) }, close, end };
    }
    const chunks = readChunks(from, bodyAt);
    if (chunks === 'more') return from.length > 2 * BODY_MAX_BYTES ? { refuse: 413 } : 'more';
    if (chunks === 'bad') return { refuse: 400 };
    if (chunks === 'large') return { refuse: 413 };
    return { request: { method, target, body: chunks.body }, close, end: chunks.end };
  };

  const offer = (request: Request, close: boolean): 'wait' | undefined => {
    const slot = { text: null as string | null, close };
    owed.push(slot);
    const reply: Reply = {
      answer: (status, body, headers) => {
        if (closed || slot.text !== null) return;
        slot.text = writeAnswer(status, body, close ? `${headers ?? JSON_TYPE}connection: close\r\n` : headers);
        settle();
      },
      drop: destroy,
    };
    const waits = handle(request, reply, connection);
    if (waits) owed.pop();
    return waits;
  };

  const read = (): void => {
    held = false;
    reading = true;
    while (bytes !== null && bytes.length > 0 && !ended && !closed) {
      if (owed.length >= WAITING_MAX) {
        held = true;
        break;
      }
      const found = readOne(bytes);
      if (found === 'more') break;
      if ('refuse' in found) {
        refuse(found.refuse);
        break;
      }
      if (offer(found.request, found.close) === 'wait') {
        held = true;
        break;
      }
      head = null;
      bytes = bytes !== null && found.end < bytes.length ? bytes.subarray(found.end) : null;
    }
    reading = false;
    if (held) socket.pause();
    else socket.resume();
    flush();
  };

  const connection: Connection = {
    resume: () => {
      if (held && !reading && !closed) read();
    },
    destroy,
  };

  socket.setNoDelay(true);
  socket.on('data', (chunk: Buffer) => {
    bytes = bytes === null ? chunk : Buffer.concat([bytes, chunk]);
    if (!held) read();
  });
  socket.on('close', () => {
    closed = true;
    bytes = null;
  });
  // The peer is gone; its own side knows why, and 'close' follows.
  socket.on('error', () => undefined);
  return connection;
}
