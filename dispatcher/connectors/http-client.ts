/**
 * A keep-alive HTTP/1.1 client over node:net and node:tls whose one purpose is to know, of every request that failed, whether
 * it may have been written. `fetch` cannot say so: a connect timeout and an answer timeout are one AbortError there, and its
 * errors differ by runtime. A request is written to a connection once and never repeated, whatever happens to it.
 *
 * Connections are opened on demand, one request at a time each, so never more than the callers' window; the one used last is
 * used next, and what idles is closed before the server does it, since a request that crosses a server's close is `unknown`.
 */
import net from 'node:net';
import tls from 'node:tls';
import { type AnswerReader, createAnswerReader, type HttpAnswer } from './http-answer.ts';

export type ExchangeFailure =
  /** Not one byte of the request was written. */
  | { written: false; error: 'connect_failed' | 'connect_timeout' | 'dns_failed' | 'tls_failed' }
  /** It may have arrived. */
  | { written: true; error: 'no_answer' | 'connection_lost' | 'answer_malformed' };
export type Exchange = { answer: HttpAnswer } | ExchangeFailure | { written: false; error: 'withheld' };

export type HttpClientOptions = {
  secure: boolean;
  host: string;
  port: number;
  /** How the request is read: an answer to HEAD has no body. */
  method: string;
  /** From the start of connecting (name, TCP, TLS) to connected. */
  connectTimeoutMs: number;
  /** From the write to the whole answer. */
  answerTimeoutMs: number;
  /** A connection that idled this long is closed; a shorter `Keep-Alive: timeout` of the server goes first. */
  idleMs: number;
};

export type HttpClient = {
  /**
   * Never rejects.
   * @param mayWrite is asked just before the write (connecting may have taken seconds); false answers `withheld`
   */
  exchange(request: string, mayWrite: () => boolean): Promise<Exchange>;
  readonly connections: number;
  /** Closes what is idle now and everything else once its exchange has ended. */
  close(): void;
};

/** One timer for all connections: deadlines are seconds, so they are met within this much. */
const SWEEP_MS = 100;
/** A server that promises N seconds may close at N: what idles is given up this much earlier. */
const KEEP_ALIVE_MARGIN_MS = 1_000;

type Link = {
  socket: net.Socket;
  connected: boolean;
  /** Monotonic; of the connect, of the answer or of the idling, whichever is on. */
  deadline: number;
  reader: AnswerReader | null;
  settle: ((exchange: Exchange) => void) | null;
  /** What to write once connected. */
  request: string;
  mayWrite: () => boolean;
  lastError: NodeJS.ErrnoException | null;
};

const DNS_ERRORS = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_NODATA', 'EAI_NONAME', 'ESERVFAIL', 'DNS_ENOTFOUND']);

export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { secure, host, port, method, connectTimeoutMs, answerTimeoutMs, idleMs } = options;
  const links = new Set<Link>();
  const idle: Link[] = [];
  let timer: ReturnType<typeof setInterval> | null = null;
  let closing = false;

  const drop = (link: Link): void => {
    links.delete(link);
    const at = idle.indexOf(link);
    if (at >= 0) idle.splice(at, 1);
    link.socket.destroy();
    if (links.size === 0 && timer) {
      clearInterval(timer);
      timer = null;
    }
  };

  const settle = (link: Link, exchange: Exchange): void => {
    const done = link.settle;
    link.settle = null;
    link.reader = null;
    done?.(exchange);
  };

  /** Ends a link for a reason; whoever waits on it learns what the reason means for the request. */
  const fail = (link: Link, error: 'timeout' | 'lost' | 'malformed'): void => {
    const answer = link.reader?.answer ?? null;
    const { connected, lastError } = link;
    drop(link);
    if (!link.settle) return;
    if (!connected) settle(link, { written: false, error: connectError(error, lastError, secure) });
    // The status was read: it has decided, with or without the rest of the body.
    else if (answer) settle(link, { answer });
    else if (error === 'timeout') settle(link, { written: true, error: 'no_answer' });
    else settle(link, { written: true, error: error === 'malformed' ? 'answer_malformed' : 'connection_lost' });
  };

  const sweep = (): void => {
    const now = performance.now();
    for (const link of links) if (now >= link.deadline) fail(link, 'timeout');
  };

  const write = (link: Link, request: string, mayWrite: () => boolean): void => {
    if (!mayWrite()) {
      park(link, null);
      settle(link, { written: false, error: 'withheld' });
      return;
    }
    link.reader = createAnswerReader(method);
    link.deadline = performance.now() + answerTimeoutMs;
    link.socket.write(request, 'utf8');
  };

  const park = (link: Link, keepAliveMs: number | null): void => {
    const keepMs = keepAliveMs === null ? idleMs : Math.min(idleMs, keepAliveMs - KEEP_ALIVE_MARGIN_MS);
    if (closing || keepMs <= 0) drop(link);
    else {
      link.deadline = performance.now() + keepMs;
      idle.push(link);
    }
  };

  const finish = (link: Link, answer: HttpAnswer): void => {
    // Back into the pool before the caller goes on, so that its next request finds the connection.
    if (answer.reusable) park(link, answer.keepAliveMs);
    else drop(link);
    settle(link, { answer });
  };

  const onData = (link: Link, chunk: Buffer): void => {
    // Bytes that nobody asked for: an idle connection that talks is not to be trusted with a request.
    if (!link.reader) {
      drop(link);
      return;
    }
    const state = link.reader.push(chunk);
    if (state === 'malformed') fail(link, 'malformed');
    else if (state === 'done') finish(link, link.reader.answer as HttpAnswer);
  };

  const onEnd = (link: Link): void => {
    if (link.reader?.end() === 'done') finish(link, link.reader.answer as HttpAnswer);
    else fail(link, 'lost');
  };

  const open = (request: string, mayWrite: () => boolean, done: (exchange: Exchange) => void): void => {
    const socket = secure
      ? tls.connect({ host, port, ALPNProtocols: ['http/1.1'], ...(net.isIP(host) ? {} : { servername: host }) })
      : net.connect({ host, port });
    const link: Link = {
      socket,
      connected: false,
      deadline: performance.now() + connectTimeoutMs,
      reader: null,
      settle: done,
      request,
      mayWrite,
      lastError: null,
    };
    links.add(link);
    timer ??= setInterval(sweep, SWEEP_MS);
    socket.setNoDelay(true);
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      if (!links.has(link)) return;
      link.connected = true;
      write(link, link.request, link.mayWrite);
      link.request = '';
    });
    socket.on('data', (chunk: Buffer) => links.has(link) && onData(link, chunk));
    socket.on('end', () => links.has(link) && onEnd(link));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      link.lastError = error;
      if (links.has(link)) fail(link, 'lost');
    });
    socket.on('close', () => links.has(link) && onEnd(link));
  };

  return {
    get connections() {
      return links.size;
    },
    exchange: (request, mayWrite) =>
      new Promise((resolve) => {
        for (let link = idle.pop(); link; link = idle.pop()) {
          // The server has closed it and the event is still to come: nothing was written, so another one may be used.
          if (!link.socket.writable || link.socket.destroyed) {
            drop(link);
            continue;
          }
          link.settle = resolve;
          write(link, request, mayWrite);
          return;
        }
        open(request, mayWrite, resolve);
      }),
    close() {
      closing = true;
      for (const link of [...idle]) drop(link);
    },
  };
}

function connectError(
  reason: 'timeout' | 'lost' | 'malformed',
  thrown: NodeJS.ErrnoException | null,
  secure: boolean,
): 'connect_failed' | 'connect_timeout' | 'dns_failed' | 'tls_failed' {
  if (reason === 'timeout') return 'connect_timeout';
  const code = thrown?.code ?? '';
  if (DNS_ERRORS.has(code) || thrown?.syscall === 'getaddrinfo') return 'dns_failed';
  if (code === 'ETIMEDOUT') return 'connect_timeout';
  if (secure && !/^E(CONN|HOST|NET|ADDR|PIPE)/.test(code)) return 'tls_failed';
  return 'connect_failed';
}
