/**
 * Reads one HTTP/1.1 answer from the pieces that a socket delivers: by content-length, chunked, or until the peer closes.
 * Bounded in both head and body, since a peer's mistake must not become this process's memory.
 */

const HEAD_MAX_BYTES = 16_384;
/** An operator's answer is an id and a few words. What is longer is cut: the status has decided by then. */
export const BODY_MAX_BYTES = 65_536;

export type HttpAnswer = {
  status: number;
  /** Raw `Retry-After`, null where absent. */
  retryAfter: string | null;
  /** '' where there is none, or where it broke off or was longer than BODY_MAX_BYTES. */
  body: string;
  /** The connection may carry another request. */
  reusable: boolean;
  /** What `Keep-Alive: timeout=N` promises, in milliseconds; null where absent. */
  keepAliveMs: number | null;
};

export type AnswerReader = {
  /** 'more' until the answer is whole; 'malformed' when this is not HTTP. Then `answer` says what is known. */
  push(chunk: Buffer): 'more' | 'done' | 'malformed';
  /** The peer ended the connection: an answer without a length is whole then. */
  end(): 'done' | 'malformed';
  /** Null until a final (not 1xx) head was read; from then on the status is known even if the body breaks off. */
  readonly answer: HttpAnswer | null;
};

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9][0-9])(?: |\r\n|$)/;
const HEADER = /\r\n(content-length|transfer-encoding|connection|retry-after|keep-alive)[ \t]*:[ \t]*([^\r\n]*)/gi;

type Framing = { kind: 'length'; length: number } | { kind: 'chunked' } | { kind: 'close' };

function readHead(head: string, method: string): { answer: HttpAnswer; framing: Framing } | null {
  const statusLine = STATUS_LINE.exec(head);
  if (!statusLine) return null;
  const status = Number(statusLine[2]);
  let reusable = statusLine[1] === '1';
  let length: number | null = null;
  let chunked = false;
  let retryAfter: string | null = null;
  let keepAliveMs: number | null = null;
  for (const [, name = '', raw = ''] of head.matchAll(HEADER)) {
    const value = raw.trimEnd();
    switch (name.toLowerCase()) {
      case 'content-length': {
        if (!/^[0-9]{1,12}$/.test(value) || (length !== null && length !== Number(value))) return null;
        length = Number(value);
        break;
      }
      case 'transfer-encoding':
        chunked = /(?:^|,)[ \t]*chunked$/i.test(value);
        if (!chunked) return null;
        break;
      case 'connection':
        if (/\bclose\b/i.test(value)) reusable = false;
        else if (/\bkeep-alive\b/i.test(value)) reusable = true;
        break;
      case 'retry-after':
        retryAfter = value;
        break;
      case 'keep-alive': {
        const seconds = /\btimeout=([0-9]{1,6})\b/i.exec(value);
        if (seconds) keepAliveMs = Number(seconds[1]) * 1000;
        break;
      }
    }
  }
  const answer: HttpAnswer = { status, retryAfter, body: '', reusable, keepAliveMs };
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) {
    return { answer, framing: { kind: 'length', length: 0 } };
  }
  if (chunked) return { answer, framing: { kind: 'chunked' } };
  if (length !== null) return { answer, framing: { kind: 'length', length } };
  answer.reusable = false;
  return { answer, framing: { kind: 'close' } };
}

/** @param method of the request: an answer to HEAD has no body whatever its head says. */
export function createAnswerReader(method: string): AnswerReader {
  let pending: Buffer | null = null;
  let answer: HttpAnswer | null = null;
  let framing: Framing | null = null;
  let decoded: Buffer[] = [];
  let decodedBytes = 0;

  /** A body past the bound: the connection is not worth reading to its end. */
  const cut = (known: HttpAnswer): 'done' => {
    known.reusable = false;
    return 'done';
  };

  const readChunks = (known: HttpAnswer, buffer: Buffer): 'more' | 'done' | 'malformed' => {
    let offset = 0;
    for (;;) {
      const lineEnd = buffer.indexOf('\r\n', offset, 'latin1');
      if (lineEnd < 0) break;
      const size = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(buffer.toString('latin1', offset, lineEnd));
      if (!size) return 'malformed';
      const length = Number.parseInt(size[1] as string, 16);
      if (length === 0) {
        // Trailers are read over up to the empty line that ends them.
        const end = buffer.subarray(lineEnd, lineEnd + 4).equals(EMPTY_TRAILER)
          ? lineEnd
          : buffer.indexOf('\r\n\r\n', lineEnd, 'latin1');
        if (end < 0) break;
        if (buffer.length > end + 4) known.reusable = false;
        known.body = Buffer.concat(decoded).toString('utf8');
        return 'done';
      }
      if (decodedBytes + length > BODY_MAX_BYTES) return cut(known);
      if (buffer.length < lineEnd + 2 + length + 2) break;
      const start = lineEnd + 2;
      if (buffer[start + length] !== 13 || buffer[start + length + 1] !== 10) return 'malformed';
      decoded.push(buffer.subarray(start, start + length));
      decodedBytes += length;
      offset = start + length + 2;
    }
    pending = offset === buffer.length ? null : buffer.subarray(offset);
    if (pending && pending.length > BODY_MAX_BYTES + HEAD_MAX_BYTES) return cut(known);
    return 'more';
  };

  const readBody = (known: HttpAnswer, buffer: Buffer, frame: Framing): 'more' | 'done' | 'malformed' => {
    if (frame.kind === 'chunked') return readChunks(known, buffer);
    if (frame.kind === 'length') {
      if (frame.length > BODY_MAX_BYTES) return cut(known);
      if (buffer.length < frame.length) {
        pending = buffer;
        return 'more';
      }
      // Bytes beyond the answer were not asked for: what they are is unknown, so the connection is not used again.
      if (buffer.length > frame.length) known.reusable = false;
      known.body = buffer.toString('utf8', 0, frame.length);
      return 'done';
    }
    if (buffer.length > BODY_MAX_BYTES) return cut(known);
    pending = buffer;
    return 'more';
  };

  return {
    get answer() {
      return answer;
    },
    push(chunk) {
      let buffer = pending ? Buffer.concat([pending, chunk]) : chunk;
      pending = null;
      while (!answer || !framing) {
        const headEnd = buffer.indexOf('\r\n\r\n', 0, 'latin1');
        if (headEnd > HEAD_MAX_BYTES || (headEnd < 0 && buffer.length > HEAD_MAX_BYTES)) return 'malformed';
        if (headEnd < 0) {
          pending = buffer;
          return 'more';
        }
        const head = readHead(buffer.toString('latin1', 0, headEnd), method);
        if (!head || head.answer.status === 101) return 'malformed';
        buffer = buffer.subarray(headEnd + 4);
        // An interim answer (100, 103) comes before the one that counts.
        if (head.answer.status < 200) continue;
        answer = head.answer;
        framing = head.framing;
      }
      return readBody(answer, buffer, framing);
    },
    end() {
      if (!answer || framing?.kind !== 'close') return 'malformed';
      answer.body = pending ? pending.toString('utf8') : '';
      decoded = [];
      return 'done';
    },
  };
}

const EMPTY_TRAILER = Buffer.from('\r\n\r\n', 'latin1');
