/**
 * The HTTP connector: one request per message. What an answer means is http-outcome.ts; whether a request without an answer
 * may have been written is known by http-client.ts: never written is `transient`, perhaps written is `unknown`.
 */
import type { HttpSettings } from '../../shared/sms/operator-http.ts';
import type { Connector, ConnectorEvents, Submission, SubmitOutcome } from '../connector.ts';
import { compileTemplate, escapeFor, escapeUrl, type PlaceholderValues } from './body-template.ts';
import { createHttpClient, type ExchangeFailure } from './http-client.ts';
import { type HttpOutcomeRules, httpOutcome } from './http-outcome.ts';

export type Clock = { /** Epoch milliseconds. */ now(): number };

const CONNECT_MAX_MS = 5_000;
/** Less than the shortest default of common servers (Node closes an idle connection after 5 s). */
const IDLE_MS = 4_000;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e]*$/;
/** What frames the request; a second one of these would make two requests of one. */
const OWN_HEADERS = /^(?:host|content-length|transfer-encoding|connection|expect|upgrade|te|trailer)$/i;

/**
 * Throws when a header could not be written as it is.
 * @param events `onReady` is called when the window was full and a slot came free
 * @param clock for validity and for a Retry-After that is a date; deadlines use the monotonic clock
 */
export function createHttpConnector(
  _name: string,
  settings: HttpSettings,
  events: ConnectorEvents,
  clock: Clock = Date,
): Connector {
  const { windowSize, timeoutMs } = settings;
  const write = compileRequest(settings);
  const url = new URL(settings.url);
  const secure = url.protocol === 'https:';
  const client = createHttpClient({
    secure,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    method: settings.method,
    connectTimeoutMs: Math.min(timeoutMs, CONNECT_MAX_MS),
    answerTimeoutMs: timeoutMs,
    idleMs: IDLE_MS,
  });
  const rules: HttpOutcomeRules = {
    statuses: settings.statuses,
    wrongNetwork: settings.wrongNetwork,
    idPath: settings.idPath.split('.'),
  };
  let inflight = 0;
  let closed: Promise<void> | null = null;
  let drained: (() => void) | null = null;

  const ended = (): void => {
    inflight -= 1;
    if (inflight === 0) drained?.();
    if (!closed && inflight === windowSize - 1) events.onReady();
  };

  const submit = async (submission: Submission): Promise<SubmitOutcome> => {
    if (closed) return released('closed');
    if (inflight >= windowSize) return released('window_full');
    inflight += 1;
    try {
      const exchange = await client.exchange(write(submission), () => clock.now() < submission.validUntil);
      if ('answer' in exchange) return httpOutcome(exchange.answer, submission.pages, rules, clock.now());
      return exchange.error === 'withheld' ? released('expired') : unanswered(exchange);
    } finally {
      ended();
    }
  };

  return {
    windowSize,
    get free() {
      return closed ? 0 : windowSize - inflight;
    },
    get ready() {
      return !closed;
    },
    slotsOf: () => 1,
    submit,
    state: () => ({ connector: 'http', ready: !closed, binds: [], inflight, windowSize }),
    close() {
      closed ??= new Promise<void>((resolve) => {
        drained = resolve;
        client.close();
        if (inflight === 0) resolve();
      });
      return closed;
    },
  };
}

const released = (error: string): SubmitOutcome => ({ kind: 'released', error, linkFault: false });

function unanswered(failure: ExchangeFailure): SubmitOutcome {
  if (failure.written) return { kind: 'unknown', error: failure.error, operatorIds: [], linkFault: true };
  return { kind: 'transient', error: failure.error, linkFault: true };
}

/** Everything of a request that does not depend on the message is built once. */
function compileRequest(settings: HttpSettings): (submission: Submission) => string {
  const { method } = settings;
  const url = new URL(settings.url);
  // The URL parser percent-encodes the placeholders' braces; they are read from the text as it was written.
  const target = /^[a-z]+:\/\/[^/?#]*([^#]*)/i.exec(settings.url)?.[1] ?? '';
  const ascii = target.replace(/[^\x21-\x7e]+/gu, encodeURIComponent);
  const line = compileTemplate(ascii.startsWith('/') ? ascii : `/${ascii}`, escapeUrl);

  const names = new Set(Object.keys(settings.headers).map((name) => name.toLowerCase()));
  let fixed = `Host: ${url.host}\r\n`;
  if (url.username !== '' && !names.has('authorization')) {
    const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    fixed += `Authorization: Basic ${Buffer.from(login).toString('base64')}\r\n`;
  }
  for (const [name, value] of Object.entries(settings.headers)) {
    if (!HEADER_NAME.test(name) || !HEADER_VALUE.test(value))
      throw new Error(`header ${JSON.stringify(name)} is not one`);
    if (OWN_HEADERS.test(name)) throw new Error(`header ${name} is written by the connector itself`);
    fixed += `${name}: ${value}\r\n`;
  }
  if (!names.has('accept')) fixed += 'Accept: application/json\r\n';

  if (settings.body === null) return (submission) => `${method} ${line(valuesOf(submission))} HTTP/1.1\r\n${fixed}\r\n`;

  const contentType = Object.entries(settings.headers).find(([name]) => name.toLowerCase() === 'content-type')?.[1];
  if (contentType === undefined) fixed += 'Content-Type: application/json; charset=utf-8\r\n';
  const fill = compileTemplate(settings.body, escapeFor(contentType ?? 'application/json'));
  return (submission) => {
    const values = valuesOf(submission);
    const body = fill(values);
    return `${method} ${line(values)} HTTP/1.1\r\n${fixed}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  };
}

const valuesOf = (submission: Submission): PlaceholderValues => ({
  message_id: submission.messageId,
  to: submission.to,
  from: submission.from,
  text: submission.text,
  encoding: submission.encoding,
  pages: String(submission.pages),
  attempt: String(submission.attempt),
  lane: submission.lane,
});
