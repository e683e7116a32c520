import { expect, test } from 'bun:test';
import { refuseEarly } from '../../gateway/early.ts';
import { noRoom, openGates } from '../../gateway/gate.ts';
import type { Guard } from '../../shared/auth.ts';
import { listen, problemResponse } from '../../shared/http.ts';
import { type Peer, peerAddress } from '../../shared/runtime.ts';
import type { Problem } from '../support/api.ts';

const URL_SEND = 'http://127.0.0.1:7070/send';
const NORMAL = { phone: '09121234567', text: 'hello', user_id: '123' };

/** A look at requests while there is no room for normal messages, or while there is. */
function looking(full: boolean) {
  const gates = openGates(500, 10);
  if (full) gates.normal.enter(10);
  let refused = 0;
  const inc = (): void => {
    refused += 1;
  };
  const first = refuseEarly(gates, { inc });
  return { first, refused: () => refused };
}
const post = (body: string, url = URL_SEND, headers: Record<string, string> = {}): Request =>
  new Request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)), ...headers },
    body,
  });

test('while there is room no request is looked at', () => {
  expect(looking(false).first(post(JSON.stringify(NORMAL)))).toBeNull();
});

test('without room a normal send is told to come back, in the one error shape', async () => {
  const { first, refused } = looking(true);
  for (const type of [undefined, 'normal']) {
    const answer = (await first(
      post(JSON.stringify({ ...NORMAL, type }), URL_SEND, { 'x-request-id': 'r-1' }),
    )) as Response;
    expect([answer.status, answer.headers.get('retry-after'), answer.headers.get('x-request-id')]).toEqual([
      503,
      '1',
      'r-1',
    ]);
    expect(answer.headers.get('content-type')).toStartWith('application/problem+json');
    expect((await answer.json()) as Problem).toMatchObject({ code: 'unavailable', request_id: 'r-1' });
  }
  expect(refused()).toBe(2);
});

test('the early refusals are those of the door, each with the id of its own request', async () => {
  const { first } = looking(true);
  const ids = ['r-1', 'r-2', 'r-3'];
  const answers = await Promise.all(
    ids.map((id) => first(post(JSON.stringify(NORMAL), URL_SEND, { 'x-request-id': id })) as Promise<Response>),
  );
  for (const [i, answer] of answers.entries()) {
    const late = problemResponse(noRoom(), ids[i] as string);
    expect([answer.status, [...answer.headers], await answer.text()]).toEqual([
      late.status,
      [...late.headers],
      await late.text(),
    ]);
  }
});

test('a one-time password goes on with the body and the headers it came with, however it spells its type', async () => {
  const { first, refused } = looking(true);
  const plain = JSON.stringify({ ...NORMAL, text: 'کد تایید', type: 'express' });
  for (const body of [plain, plain.replace('express', '\\u0065xpress'), plain.replaceAll('type', '\\u0074ype')]) {
    const passed = (await first(post(body, URL_SEND, { 'idempotency-key': 'k-1' }))) as Request;
    expect(passed).toBeInstanceOf(Request);
    expect([passed.method, passed.url, passed.headers.get('idempotency-key')]).toEqual(['POST', URL_SEND, 'k-1']);
    expect(await passed.text()).toBe(body);
  }
  expect(refused()).toBe(0);
});

test('what is no send, or has no bounded length, is the door’s business', () => {
  const { first } = looking(true);
  const body = JSON.stringify(NORMAL);
  for (const url of [
    `${URL_SEND}/batch`,
    'http://127.0.0.1:7070/preview',
    'http://127.0.0.1:7070/other/send',
    `${URL_SEND}?a=1`,
  ])
    expect([url, first(post(body, url))]).toEqual([url, null]);
  expect(first(new Request('http://127.0.0.1:7070/send'))).toBeNull();
  expect(first(post(body, URL_SEND, { 'content-length': '99999999' }))).toBeNull();
  const endless = new Request(URL_SEND, { method: 'POST', body: new ReadableStream({ pull: () => undefined }) });
  expect(first(endless)).toBeNull();
});

test('a one-time password that was looked at still shows the address it came from', async () => {
  const seen: string[] = [];
  const guard = { seen: (request: Request, peer: Peer) => void seen.push(peerAddress(request, peer)) } as Guard;
  const app = { fetch: async (request: Request) => new Response(await request.text()) };
  const { first } = looking(true);
  const server = listen(app, '127.0.0.1', 0, 'PORT', { guard, first });
  try {
    const body = JSON.stringify({ ...NORMAL, type: 'express' });
    const answer = await fetch(`http://127.0.0.1:${server.port}/send`, { method: 'POST', body });
    expect([answer.status, await answer.text()]).toEqual([200, body]);
    await fetch(`http://127.0.0.1:${server.port}/preview`, { method: 'POST', body });
    expect(seen).toEqual(['127.0.0.1', '127.0.0.1']);
  } finally {
    await server.stop();
  }
});
