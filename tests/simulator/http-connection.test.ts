import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { readChunks, readHead } from '../../simulator/http-connection.ts';
import { type Simulator, startSimulator } from '../../simulator/index.ts';
import { connectRaw, post, type Raw, until } from './peers.ts';

let simulator: Simulator;
const open: Raw[] = [];
beforeAll(async () => {
  simulator = await startSimulator({ httpPort: 0, smppPort: 0 });
});
afterEach(() => {
  for (const raw of open.splice(0)) raw.socket.destroy();
  simulator.reset();
});
afterAll(() => simulator.close());

async function raw(): Promise<Raw> {
  const opened = await connectRaw(simulator.httpPort);
  open.push(opened);
  return opened;
}

const body = (id: string): string =>
  JSON.stringify({ message_id: id, to: '+989351234567', from: '3000', text: 'سلام' });
const request = (id: string, extra = ''): string =>
  `POST /mtn HTTP/1.1\r\nHost: x\r\n${extra}Content-Length: ${Buffer.byteLength(body(id))}\r\n\r\n${body(id)}`;
const answers = (text: string): string[] => text.match(/HTTP\/1\.1 [0-9]{3}/g)?.map((line) => line.slice(9)) ?? [];
const idOf = (id: string): string => simulator.records('mtn', { messageId: id })[0]?.operator_ids[0] ?? '?';

describe('requests on one connection', () => {
  test('pipelined requests are all answered, in their order, whatever their latency', async () => {
    simulator.dials('mtn', { latency_ms: 1, latency_jitter_ms: 30, seed: 3 });
    const { socket, ...seen } = await raw();
    const peer = open[0] as Raw;
    socket.write(Array.from({ length: 20 }, (_, n) => request(`m${n}`)).join(''));
    await until('twenty answers', () => answers(peer.text).length === 20);
    const ids = [...peer.text.matchAll(/"id":"([0-9]+)"/g)].map(([, id]) => id);
    expect(ids).toEqual(Array.from({ length: 20 }, (_, n) => idOf(`m${n}`)));
    expect(seen.isClosed).toBe(false);
  });

  test('a request in packets of one byte is understood', async () => {
    const { socket } = await raw();
    const peer = open[0] as Raw;
    socket.setNoDelay(true);
    for (const byte of Buffer.from(request('m1'))) {
      await new Promise<void>((sent) => socket.write(Buffer.from([byte]), () => sent()));
    }
    await until('the answer', () => answers(peer.text).length === 1);
    expect(simulator.records('mtn')).toMatchObject([{ message_id: 'm1', text: 'سلام' }]);
  });

  test('a chunked body is understood, with extensions and trailers', async () => {
    const { socket } = await raw();
    const peer = open[0] as Raw;
    const bytes = Buffer.from(body('m1'));
    const head = 'POST /mtn HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n';
    const chunk = (from: number, to: number, extension = ''): Buffer =>
      Buffer.concat([
        Buffer.from(`${(to - from).toString(16)}${extension}\r\n`),
        bytes.subarray(from, to),
        Buffer.from('\r\n'),
      ]);
    const end = '0\r\nx-trailer: 1\r\n\r\n';
    socket.write(Buffer.concat([Buffer.from(head), chunk(0, 63, ';a=b'), chunk(63, bytes.length), Buffer.from(end)]));
    socket.write(request('m2'));
    await until('two answers', () => answers(peer.text).length === 2);
    expect(answers(peer.text)).toEqual(['200', '200']);
    expect(simulator.records('mtn', { messageId: 'm1' })).toMatchObject([{ text: 'سلام' }]);
  });

  test('Connection: close is answered and closed; Expect is told to continue', async () => {
    const { socket } = await raw();
    const peer = open[0] as Raw;
    const [head, content] = request('m1', 'Connection: close\r\nExpect: 100-continue\r\n').split('\r\n\r\n');
    socket.write(`${head}\r\n\r\n`);
    await until('100', () => peer.text.startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
    socket.write(content as string);
    await until('the close', () => peer.isClosed);
    expect(answers(peer.text)).toEqual(['100', '200']);
    expect(peer.text).toContain('connection: close\r\n');
  });
});

describe('bad input is refused and harms nobody', () => {
  const bad: readonly (readonly [name: string, sent: string | Buffer, status: string])[] = [
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n', '400'],
    ['another HTTP', 'POST /mtn HTTP/2.0\r\n\r\n', '400'],
    ['a length that is no number', 'POST /mtn HTTP/1.1\r\nContent-Length: ten\r\n\r\n', '400'],
    ['a negative length', 'POST /mtn HTTP/1.1\r\nContent-Length: -1\r\n\r\n', '400'],
    [
      'a length and chunks',
      'POST /mtn HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      '400',
    ],
    ['a chunk size that is no number', 'POST /mtn HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n', '400'],
    [
      'a chunk that is longer than it says',
      'POST /mtn HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}}}\r\n0\r\n\r\n',
      '400',
    ],
    ['a body too large', 'POST /mtn HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n', '413'],
    ['a chunk too large', 'POST /mtn HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n', '413'],
    ['a head without end', `POST /mtn HTTP/1.1\r\n${'x: y\r\n'.repeat(4_000)}`, '431'],
  ];
  for (const [name, sent, status] of bad) {
    test(`${name} is ${status}`, async () => {
      const { socket } = await raw();
      const peer = open[0] as Raw;
      socket.write(sent);
      await until('the close', () => peer.isClosed);
      expect(answers(peer.text)).toEqual([status]);
      expect((await post(simulator, 'mtn', { message_id: 'after', to: '+989351234567' })).status).toBe(200);
    });
  }

  const bodies: readonly (readonly [name: string, body: string | Uint8Array<ArrayBuffer>])[] = [
    ['no JSON', '{'],
    ['nothing', ''],
    ['not UTF-8', new Uint8Array([0x22, 0xff, 0xfe, 0x22])],
    ['a list', '[]'],
    ['null', 'null'],
    ['no number', '{"text":"x"}'],
    ['a number that is none', '{"to":912,"text":"x"}'],
    ['no text', '{"to":"+989351234567"}'],
    ['an id that is none', '{"to":"+989351234567","text":"x","message_id":{}}'],
  ];
  for (const [name, sent] of bodies) {
    test(`a body with ${name} is 400, counted, and nothing is recorded`, async () => {
      const response = await fetch(`${simulator.httpUrl}/mtn`, { method: 'POST', body: sent });
      expect(response.status).toBe(400);
      expect(((await response.json()) as { error: string }).error).toBe('malformed');
      expect(simulator.counters('mtn')).toMatchObject({ received: 0, accepted: 0, malformed: 1, records: 0 });
    });
  }

  test('a peer that goes away in the middle leaves nothing behind', async () => {
    simulator.dials('mtn', { latency_ms: 30 });
    const { socket } = await raw();
    socket.write(request('m1'));
    await until('the submit', () => simulator.counters('mtn').received === 1);
    socket.destroy();
    simulator.dials('mtn', { latency_ms: 60 });
    expect((await post(simulator, 'mtn', { message_id: 'm2', to: '+989351234567' })).status).toBe(200);
  });
});

test('readHead knows names in any case and in any place', () => {
  expect(readHead('POST /mtn?x=1 HTTP/1.1\r\nhost: a\r\nCONTENT-LENGTH:  12 \r\nConnection: Close')).toEqual({
    method: 'POST',
    target: '/mtn?x=1',
    length: 12,
    close: true,
    continues: false,
  });
  expect(readHead('GET / HTTP/1.0')).toMatchObject({ length: 0, close: true });
  expect(readHead('GET /')).toBeNull();
});

test('readChunks asks for more at every cut of a good body', () => {
  const whole = Buffer.from('4\r\nwxyz\r\n2;e=1\r\n12\r\n0\r\n\r\n');
  for (let cut = 0; cut < whole.length; cut++) expect(readChunks(whole.subarray(0, cut), 0)).toBe('more');
  expect(readChunks(whole, 0)).toEqual({ body: Buffer.from('wxyz12'), end: whole.length });
});
