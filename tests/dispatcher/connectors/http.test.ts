import { afterEach, describe, expect, test } from 'bun:test';
import net from 'node:net';
import type { Connector, Submission, SubmitOutcome } from '../../../dispatcher/connector.ts';
import { createHttpConnector } from '../../../dispatcher/connectors/http.ts';
import type { HttpSettings } from '../../../shared/sms/operators.ts';
import { selfSignedCertificate } from './certificate.ts';
import { type Arrival, answer, type FakeOperator, fakeHttpOperator, until } from './fake-http-operator.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const SUBMISSION: Submission = {
  messageId: '0199f3c2-0000-7000-8000-000000000001',
  attempt: 1,
  to: '+989351234567',
  from: '982000',
  text: 'کد "تایید":\n1234 \\ 😀',
  encoding: 'ucs2',
  pages: 2,
  lane: 'express',
  validUntil: Number.MAX_SAFE_INTEGER,
};
const SETTINGS: Omit<HttpSettings, 'url'> = {
  method: 'POST',
  headers: {},
  body: '{"message_id":"{message_id}","to":"{to}","from":"{from}","text":"{text}","encoding":"{encoding}"}',
  idPath: 'id',
  timeoutMs: 2_000,
  windowSize: 4,
  statuses: {},
  wrongNetwork: [],
};

async function operatorThat(onRequest: (arrival: Arrival, nth: number) => void): Promise<FakeOperator> {
  const operator = await fakeHttpOperator(onRequest);
  closers.push(operator.close);
  return operator;
}

function connectorTo(url: string, settings: Partial<HttpSettings> = {}, onReady = () => undefined): Connector {
  const connector = createHttpConnector(
    'MTN',
    { ...SETTINGS, url, ...settings },
    { onReady, onReceipt: () => undefined },
  );
  closers.push(() => connector.close());
  return connector;
}

const accepted = (id: string, parts = 2): SubmitOutcome => ({
  kind: 'accepted',
  operatorIds: [id],
  acceptedParts: parts,
  parts,
  linkFault: false,
});

describe('the request', () => {
  test('the body, the headers and the path are those of the contract, whatever the text holds', async () => {
    const operator = await operatorThat(({ socket }) => socket.write(answer(200, '{"id":"a-1"}')));
    const connector = connectorTo(`${operator.url}/mtn?v=1`, { headers: { 'X-Key': 'k' } });
    expect(await connector.submit(SUBMISSION)).toEqual(accepted('a-1'));
    const [arrival] = operator.arrivals;
    expect(arrival?.line).toBe('POST /mtn?v=1 HTTP/1.1');
    expect(arrival?.headers).toMatchObject({
      host: `127.0.0.1:${operator.port}`,
      'content-type': 'application/json; charset=utf-8',
      accept: 'application/json',
      'x-key': 'k',
    });
    const { messageId, to, from, text, encoding } = SUBMISSION;
    expect(JSON.parse(arrival?.body ?? '')).toEqual({ message_id: messageId, to, from, text, encoding });
  });

  test('a JSON template is filled with escaped values and keeps its own braces', async () => {
    const operator = await operatorThat(({ socket }) => socket.write(answer(201, '{"r":[{"n":7}]}')));
    const connector = connectorTo(operator.url, {
      method: 'PUT',
      body: '{"m":{"body":"{text}","ref":"{message_id}","n":{pages}},"o":{"x":"{other}"}}',
      idPath: 'r.0.n',
    });
    expect(await connector.submit(SUBMISSION)).toEqual(accepted('7'));
    expect(operator.arrivals[0]?.line).toBe('PUT / HTTP/1.1');
    expect(JSON.parse(operator.arrivals[0]?.body ?? '')).toEqual({
      m: { body: SUBMISSION.text, ref: SUBMISSION.messageId, n: 2 },
      o: { x: '{other}' },
    });
  });

  test('a form template is percent-encoded, an XML one is entity-encoded', async () => {
    const operator = await operatorThat(({ socket }) => socket.write(answer(200)));
    const form = connectorTo(operator.url, {
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'to={to}&text={text}',
    });
    const xml = connectorTo(operator.url, { headers: { 'Content-Type': 'text/xml' }, body: '<t>{text}</t>' });
    await form.submit({ ...SUBMISSION, text: 'a&b=ب' });
    await xml.submit({ ...SUBMISSION, text: '<a>&"' });
    const sent = new URLSearchParams(operator.arrivals[0]?.body);
    expect([sent.get('to'), sent.get('text')]).toEqual([SUBMISSION.to, 'a&b=ب']);
    expect(operator.arrivals[1]?.body).toBe('<t>&lt;a&gt;&amp;&quot;</t>');
  });

  test('a GET carries the message in its query and has no body', async () => {
    const operator = await operatorThat(({ socket }) => socket.write(answer(200, '{"id":"1"}')));
    const connector = connectorTo(`${operator.url}/send?to={to}&text={text}`, { method: 'GET', body: null });
    await connector.submit({ ...SUBMISSION, text: 'ی &\r\nX: y' });
    const line = operator.arrivals[0]?.line.split(' ')[1] ?? '';
    const query = new URL(line, operator.url).searchParams;
    expect([query.get('to'), query.get('text')]).toEqual([SUBMISSION.to, 'ی &\r\nX: y']);
    expect(operator.arrivals[0]?.headers['content-length']).toBeUndefined();
  });

  test("a login in the URL becomes basic authentication and never part of the request's line", async () => {
    const operator = await operatorThat(({ socket }) => socket.write(answer(200)));
    await connectorTo(operator.url.replace('//', '//me:p%40ss@')).submit(SUBMISSION);
    expect(operator.arrivals[0]?.headers.authorization).toBe(`Basic ${btoa('me:p@ss')}`);
    expect(operator.arrivals[0]?.line).toBe('POST / HTTP/1.1');
  });

  test('a header that would make two requests of one is refused at the start', () => {
    const refused: Record<string, string>[] = [
      { a: 'b\r\nc: d' },
      { 'a b': 'c' },
      { 'Content-Length': '3' },
      { host: 'x' },
    ];
    for (const headers of refused) {
      expect(() => connectorTo('http://127.0.0.1:1/', { headers })).toThrow();
    }
  });
});

describe('what an answer means', () => {
  const cases: [number, Partial<SubmitOutcome>][] = [
    [200, { kind: 'accepted', linkFault: false }],
    [202, { kind: 'accepted', linkFault: false }],
    [302, { kind: 'transient', error: 'http_302', linkFault: true }],
    [400, { kind: 'rejected', error: 'http_400', wrongNetwork: false, linkFault: false }],
    [401, { kind: 'transient', error: 'http_401', linkFault: true }],
    [403, { kind: 'transient', error: 'http_403', linkFault: true }],
    [408, { kind: 'throttled', error: 'http_408', linkFault: false }],
    [410, { kind: 'rejected', error: 'http_410', wrongNetwork: true, linkFault: false }],
    [418, { kind: 'transient', error: 'http_418', linkFault: false }],
    [422, { kind: 'rejected', error: 'http_422', wrongNetwork: false, linkFault: false }],
    [429, { kind: 'throttled', error: 'http_429', linkFault: false }],
    [500, { kind: 'unknown', error: 'http_500', operatorIds: [], linkFault: false }],
    [502, { kind: 'transient', error: 'http_502', linkFault: true }],
    [503, { kind: 'transient', error: 'http_503', linkFault: false }],
    [504, { kind: 'unknown', error: 'http_504', operatorIds: [], linkFault: true }],
    [599, { kind: 'unknown', error: 'http_599', operatorIds: [], linkFault: false }],
  ];
  test.each(cases)('%i is the outcome of the table', async (status, outcome) => {
    const operator = await operatorThat(({ socket }) => socket.write(answer(status, '{"id":"x"}')));
    const connector = connectorTo(operator.url, {
      wrongNetwork: [410],
      statuses: { 418: 'transient', 502: 'transient' },
    });
    expect(await connector.submit(SUBMISSION)).toMatchObject(outcome);
  });

  test('429 carries how long the operator asks to wait, bounded', async () => {
    const waits = ['7', '999999', 'nonsense', new Date(Date.now() + 20_000).toUTCString()];
    const operator = await operatorThat(({ socket }, nth) =>
      socket.write(answer(429, '', { 'Retry-After': waits[nth - 1] ?? '' })),
    );
    const connector = connectorTo(operator.url);
    const seen: (number | undefined)[] = [];
    for (const _ of waits) {
      const outcome = await connector.submit(SUBMISSION);
      seen.push(outcome.kind === 'throttled' ? outcome.retryAfterMs : -1);
    }
    expect(seen.slice(0, 3)).toEqual([7_000, 300_000, undefined]);
    expect(seen[3]).toBeWithin(15_000, 20_001);
  });

  test.each(['', 'not json', '{"id":null}', '{"id":{}}', '[]', '{"other":1}', `{"id":"${'x'.repeat(200)}"}`])(
    'a 2xx whose body says nothing usable is accepted without an id: %p',
    async (body) => {
      const operator = await operatorThat(({ socket }) => socket.write(answer(200, body)));
      expect(await connectorTo(operator.url).submit(SUBMISSION)).toEqual({ ...accepted(''), operatorIds: [] } as never);
    },
  );

  test('an id beyond 2^53 keeps all its digits', async () => {
    const operator = await operatorThat(({ socket }) => socket.write(answer(200, '{"id": 9223372036854775807}')));
    expect(await connectorTo(operator.url).submit(SUBMISSION)).toEqual(accepted('9223372036854775807'));
  });

  test('a 2xx that breaks off in its body is accepted: the status has decided', async () => {
    const operator = await operatorThat(({ socket }) => {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":"a');
    });
    expect(await connectorTo(operator.url).submit(SUBMISSION)).toEqual({ ...accepted(''), operatorIds: [] } as never);
  });

  test('a 2xx whose body never ends is accepted when its time is up', async () => {
    const operator = await operatorThat(({ socket }) =>
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{'),
    );
    const outcome = await connectorTo(operator.url, { timeoutMs: 200 }).submit(SUBMISSION);
    expect(outcome).toEqual({ ...accepted(''), operatorIds: [] } as never);
  });

  test.each([
    [
      'chunked',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n{"id"\r\n6\r\n:"c1"}\r\n0\r\nTrailer: 1\r\n\r\n',
    ],
    [
      'after an interim answer',
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n${answer(200, '{"id":"c1"}')}`,
    ],
    ['with its header names in capitals', 'HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 11\r\n\r\n{"id":"c1"}'],
  ])('an answer %s is read, also byte by byte, and its connection serves again', async (_, text) => {
    const operator = await operatorThat(async ({ socket }, nth) => {
      socket.setNoDelay(true);
      if (nth === 1) socket.write(text);
      else {
        for (const byte of Buffer.from(text)) {
          socket.write(Buffer.from([byte]));
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    });
    const connector = connectorTo(operator.url);
    expect(await connector.submit(SUBMISSION)).toEqual(accepted('c1'));
    expect(await connector.submit(SUBMISSION)).toEqual(accepted('c1'));
    expect(operator.opened()).toBe(1);
  });

  test.each([
    ['until the close', 'HTTP/1.1 200 OK\r\n\r\n{"id":"c1"}', true],
    ['of HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n{"id":"c1"}', false],
    ['with Connection: close', answer(200, '{"id":"c1"}', { Connection: 'close' }), false],
    ['with bytes beyond its end', `${answer(200, '{"id":"c1"}')}HTTP/1.1 200 OK\r\n`, false],
  ])('an answer %s is read, and its connection is not used again', async (_, text, end) => {
    const operator = await operatorThat(({ socket }) => void (end ? socket.end(text) : socket.write(text)));
    const connector = connectorTo(operator.url);
    expect(await connector.submit(SUBMISSION)).toEqual(accepted('c1'));
    expect(await connector.submit(SUBMISSION)).toEqual(accepted('c1'));
    expect(operator.opened()).toBe(2);
  });

  test('an answer without an end in sight is cut at a bound, and the status decides', async () => {
    const operator = await operatorThat(({ socket }) => {
      socket.write('HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n');
      const more = setInterval(() => socket.write(`4000\r\n${'x'.repeat(0x4000)}\r\n`), 1);
      socket.on('close', () => clearInterval(more));
    });
    const connector = connectorTo(operator.url, { timeoutMs: 60_000 });
    expect(await connector.submit(SUBMISSION)).toMatchObject({ kind: 'rejected', error: 'http_400' });
  });

  test.each([
    'SSH-2.0-OpenSSH_9\r\n\r\n',
    'HTTP/1.1 999 No\r\n\r\n',
    '\r\n\r\n',
    `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(20_000)}`,
  ])('an answer that is not HTTP is unknown: %#', async (text) => {
    const operator = await operatorThat(({ socket }) => socket.write(text));
    expect(await connectorTo(operator.url).submit(SUBMISSION)).toEqual({
      kind: 'unknown',
      error: 'answer_malformed',
      operatorIds: [],
      linkFault: true,
    });
  });
});

describe('no answer', () => {
  test('a refused connection is transient: nothing was written', async () => {
    const operator = await operatorThat(() => undefined);
    await operator.close();
    expect(await connectorTo(operator.url).submit(SUBMISSION)).toEqual({
      kind: 'transient',
      error: 'connect_failed',
      linkFault: true,
    });
  });

  test('a name that does not resolve is transient', async () => {
    const outcome = await connectorTo('http://operator.invalid/').submit(SUBMISSION);
    expect(outcome).toMatchObject({ kind: 'transient', linkFault: true });
  });

  test('a TLS handshake that fails is transient, and the message was not shown to the peer', async () => {
    const plain = await operatorThat(() => undefined);
    const secure = await fakeHttpOperator(() => undefined, selfSignedCertificate());
    closers.push(secure.close);
    const garbage = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.resume();
      socket.end('220 smtp here\r\n');
    });
    await new Promise<void>((resolve) => garbage.listen(0, '127.0.0.1', resolve));
    closers.push(() => new Promise((resolve) => garbage.close(() => resolve())));
    const { port } = garbage.address() as net.AddressInfo;

    const untrusted = await connectorTo(secure.url).submit(SUBMISSION);
    const notTls = await connectorTo(`https://127.0.0.1:${port}`).submit(SUBMISSION);
    const silent = await connectorTo(plain.url.replace('http:', 'https:'), { timeoutMs: 300 }).submit(SUBMISSION);
    expect(untrusted).toEqual({ kind: 'transient', error: 'tls_failed', linkFault: true });
    expect(notTls).toMatchObject({ kind: 'transient', linkFault: true });
    expect(silent).toEqual({ kind: 'transient', error: 'connect_timeout', linkFault: true });
    expect([secure.bytes(), secure.arrivals.length, plain.arrivals.length]).toEqual([0, 0, 0]);
  });

  test('a request without an answer is unknown when its time is up', async () => {
    const operator = await operatorThat(() => undefined);
    const startedAt = performance.now();
    const outcome = await connectorTo(operator.url, { timeoutMs: 300 }).submit(SUBMISSION);
    expect(outcome).toEqual({ kind: 'unknown', error: 'no_answer', operatorIds: [], linkFault: true });
    expect(performance.now() - startedAt).toBeWithin(290, 1_500);
  });

  test.each([
    ['closed', (socket: net.Socket) => socket.end()],
    ['reset', (socket: net.Socket) => socket.resetAndDestroy()],
    ['cut within the head of the answer', (socket: net.Socket) => socket.end('HTTP/1.1 200 OK\r\nContent-')],
  ])('a connection %s instead of an answer is unknown, and the request arrived once', async (_, cut) => {
    const operator = await operatorThat(({ socket }) => void cut(socket));
    expect(await connectorTo(operator.url).submit(SUBMISSION)).toEqual({
      kind: 'unknown',
      error: 'connection_lost',
      operatorIds: [],
      linkFault: true,
    });
    expect(operator.arrivals.length).toBe(1);
  });

  test('a kept connection that dies under its second request is not repeated on another: no runtime doubles a message', async () => {
    const operator = await operatorThat(({ socket }, nth) => {
      if (nth % 2 === 1) socket.write(answer(200, '{"id":"1"}'));
      else socket.resetAndDestroy();
    });
    const connector = connectorTo(operator.url);
    for (let round = 0; round < 5; round += 1) {
      expect((await connector.submit(SUBMISSION)).kind).toBe('accepted');
      expect((await connector.submit(SUBMISSION)).kind).toBe('unknown');
    }
    expect(operator.arrivals.length).toBe(10);
    expect(operator.arrivals.map(({ connection }) => connection)).toEqual([1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
  });
});

describe('connections', () => {
  test('one that the operator closed while idle costs no message', async () => {
    const gone: Promise<void>[] = [];
    const operator = await operatorThat(({ socket }) => {
      gone.push(new Promise((resolve) => socket.once('close', () => resolve())));
      socket.end(answer(200, '{"id":"1"}'));
    });
    const connector = connectorTo(operator.url);
    for (let i = 0; i < 5; i += 1) {
      expect((await connector.submit(SUBMISSION)).kind).toBe('accepted');
      await gone[i];
    }
  });

  test('one that the operator promises to keep for a second only is not kept', async () => {
    const operator = await operatorThat(({ socket }) => socket.write(answer(200, '', { 'Keep-Alive': 'timeout=1' })));
    const connector = connectorTo(operator.url);
    await connector.submit(SUBMISSION);
    await connector.submit(SUBMISSION);
    expect(operator.opened()).toBe(2);
  });

  test('one that speaks unasked is dropped before a message is given to it', async () => {
    const operator = await operatorThat(({ socket }, nth) => {
      socket.write(answer(200, `{"id":"${nth}"}`));
      if (nth === 1) setTimeout(() => socket.write('HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n'), 10);
    });
    const connector = connectorTo(operator.url);
    await connector.submit(SUBMISSION);
    const first = operator.arrivals[0]?.socket as net.Socket;
    await until(() => first.destroyed || first.readableEnded, 'the talking connection is closed');
    expect(await connector.submit(SUBMISSION)).toEqual(accepted('2'));
  });

  test('there are never more than the window, and each serves many messages', async () => {
    const operator = await operatorThat(({ socket }, nth) => {
      setTimeout(() => socket.write(answer(200, `{"id":"${nth}"}`)), nth % 3);
    });
    const connector = connectorTo(operator.url, { windowSize: 8 });
    let left = 400;
    const ids = new Set<string>();
    const worker = async (): Promise<void> => {
      while (left-- > 0) {
        const outcome = await connector.submit(SUBMISSION);
        if (outcome.kind === 'accepted') ids.add(outcome.operatorIds[0] as string);
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    expect([ids.size, operator.arrivals.length]).toEqual([400, 400]);
    expect(operator.openedAtOnce()).toBeLessThanOrEqual(8);
    expect(operator.opened()).toBeLessThanOrEqual(8);
  });
});

describe('the window', () => {
  test('a submit beyond it is released and never written, and the slot comes back with a call', async () => {
    const held: Arrival[] = [];
    const operator = await operatorThat((arrival) => void held.push(arrival));
    let calls = 0;
    const connector = connectorTo(operator.url, { windowSize: 2 }, () => void calls++);
    const first = connector.submit(SUBMISSION);
    const second = connector.submit(SUBMISSION);
    expect([connector.free, connector.ready]).toEqual([0, true]);
    expect(connector.state()).toEqual({ connector: 'http', ready: true, binds: [], inflight: 2, windowSize: 2 });
    expect(await connector.submit(SUBMISSION)).toEqual({ kind: 'released', error: 'window_full', linkFault: false });
    await until(() => held.length === 2, 'both arrived');
    for (const { socket } of held) socket.write(answer(200, '{"id":"1"}'));
    await Promise.all([first, second]);
    expect([connector.free, calls, operator.arrivals.length]).toEqual([2, 1, 2]);
  });

  test('a message whose validity ended while connecting is released and never written', async () => {
    const operator = await operatorThat(({ socket }) => socket.write(answer(200)));
    let now = 1_000;
    const connector = createHttpConnector(
      'MTN',
      { ...SETTINGS, url: operator.url },
      { onReady: () => undefined, onReceipt: () => undefined },
      { now: () => now },
    );
    closers.push(() => connector.close());
    const ended = connector.submit({ ...SUBMISSION, validUntil: 2_000 });
    now = 2_000;
    expect(await ended).toEqual({ kind: 'released', error: 'expired', linkFault: false });
    expect((await connector.submit({ ...SUBMISSION, validUntil: 2_001 })).kind).toBe('accepted');
    expect(operator.arrivals.length).toBe(1);
  });

  test('a close waits for what is in flight, refuses what comes after, and leaves no connection', async () => {
    const held: Arrival[] = [];
    const operator = await operatorThat((arrival) => void held.push(arrival));
    const connector = connectorTo(operator.url);
    const inflight = connector.submit(SUBMISSION);
    await until(() => held.length === 1, 'it arrived');
    let closed = false;
    const closing = connector.close().then(() => {
      closed = true;
    });
    expect(await connector.submit(SUBMISSION)).toEqual({ kind: 'released', error: 'closed', linkFault: false });
    expect([closed, connector.free, connector.ready]).toEqual([false, 0, false]);
    const socket = held[0]?.socket as net.Socket;
    socket.write(answer(200, '{"id":"1"}'));
    expect((await inflight).kind).toBe('accepted');
    await closing;
    await until(() => socket.readableEnded || socket.destroyed, 'the connection is closed');
  });
});
