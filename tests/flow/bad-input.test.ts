import { expect, test } from 'bun:test';
import { ERRORS, type ErrorCode } from '../../shared/error.ts';
import type { Problem } from '../support/api.ts';
import { type Answer, ask } from '../support/http.ts';
import { newPhone } from '../support/phones.ts';
import { assertSettled } from '../support/settled.ts';
import type { ServiceName } from '../support/stack.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

const USER = 'careful';
const PHONE = newPhone('912');
const FUNDS = 1_000_000;
/** Stands in bad values, and must stand in no answer. */
const ECHO = 'ECHO-7f3a';

type Body = string | Uint8Array<ArrayBuffer> | (() => ReadableStream<Uint8Array>);
type Bad = {
  name: string;
  service: ServiceName;
  method?: string;
  path: string;
  json?: unknown;
  body?: Body;
  headers?: Record<string, string>;
  code: ErrorCode;
};

const JSON_TYPE = { 'content-type': 'application/json' };
const good = { phone: PHONE, text: 'hello', user_id: USER };
const without = (field: keyof typeof good) =>
  Object.fromEntries(Object.entries(good).filter(([name]) => name !== field));

const send = (name: string, json: unknown, code: ErrorCode = 'invalid_request'): Bad => ({
  name: `send: ${name}`,
  service: 'gateway',
  path: '/send',
  json,
  code,
});
const raw = (name: string, body: Body, code: ErrorCode, headers: Record<string, string> = JSON_TYPE): Bad => ({
  name: `send: ${name}`,
  service: 'gateway',
  path: '/send',
  body,
  headers,
  code,
});
const charge = (query: string): Bad => ({
  name: `charge: ${query}`,
  service: 'billing',
  path: `/charge/${USER}${query}`,
  code: 'invalid_request',
});
const get = (service: ServiceName, path: string, code: ErrorCode = 'invalid_request'): Bad => ({
  name: `${service} ${path}`,
  service,
  method: 'GET',
  path,
  code,
});
const post = (service: ServiceName, path: string, json: unknown, code: ErrorCode = 'invalid_request'): Bad => ({
  name: `${service} ${path}: ${JSON.stringify(json)?.slice(0, 60)}`,
  service,
  path,
  json,
  code,
});

const utf8 = new TextEncoder();
/** A good send with one byte of its text replaced. */
const withByte = (byte: number): Uint8Array<ArrayBuffer> => {
  const bytes = utf8.encode(JSON.stringify({ ...good, text: 'X' }));
  bytes[bytes.indexOf('X'.charCodeAt(0), 20)] = byte;
  return bytes;
};
const pages = (count: number): string => 'ب'.repeat(67 * count);
const MEGABYTE = 1024 * 1024;
/** A body whose length nobody is told beforehand. */
const inPieces = (megabytes: number) => () =>
  new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (let i = 0; i < megabytes; i++) controller.enqueue(new Uint8Array(MEGABYTE).fill(32));
      controller.close();
    },
  });

const SENDS: Bad[] = [
  ...(['phone', 'text', 'user_id'] as const).map((field) => send(`without ${field}`, without(field))),
  ...[
    9_121_234_567,
    null,
    true,
    [PHONE],
    { number: PHONE },
    '',
    ECHO,
    '021-88888888',
    '0912',
    `+1${PHONE}`,
    '9'.repeat(65),
  ].map((phone) => send(`phone ${JSON.stringify(phone).slice(0, 40)}`, { ...good, phone })),
  ...[1, null, [], {}, ''].map((text) => send(`text ${JSON.stringify(text)}`, { ...good, text })),
  send('half of a surrogate pair', { ...good, text: 'a\ud83d' }),
  send('the other half', { ...good, text: '\ude00b' }),
  send('a NUL in the text', { ...good, text: 'a\u0000b' }),
  send('a text of 11 pages', { ...good, text: pages(11) }),
  send('a text of 10,000 pages', { ...good, text: pages(10_000) }),
  ...[123, null, '', 'a b', 'a/b', 'علی', `${ECHO}!`, 'x'.repeat(65)].map((user_id) =>
    send(`user_id ${JSON.stringify(user_id).slice(0, 40)}`, { ...good, user_id }),
  ),
  ...['EXPRESS', 'bulk', '', 1, null, ECHO].map((type) => send(`type ${JSON.stringify(type)}`, { ...good, type })),
  ...['10009999', 1, '', ECHO].map((sender) => send(`sender ${JSON.stringify(sender)}`, { ...good, sender })),
  ...['', 'x'.repeat(65), 'مرجع', 7, 'a\nb'].map((client_ref) =>
    send(`client_ref ${JSON.stringify(client_ref).slice(0, 40)}`, { ...good, client_ref }),
  ),
  ...[0, -1, 1.5, '60', 259_201, 1e21, null].map((valid_for_s) =>
    send(`valid_for_s ${valid_for_s}`, { ...good, valid_for_s }),
  ),
  send('replay_of that is no id', { ...good, replay_of: ECHO }),
  send('an unknown field', { ...good, [ECHO]: 1 }),
  raw('__proto__', `{"__proto__":{"phone":"${PHONE}"},"text":"a","user_id":"${USER}"}`, 'invalid_request'),
  ...[null, [], [good], 'text', 1, true].map((json) =>
    send(`a body that is ${JSON.stringify(json).slice(0, 20)}`, json),
  ),
  send('a number that no operator carries', { ...good, phone: newPhone('940') }, 'no_route'),
  raw('broken JSON', `{"phone":"${ECHO}`, 'malformed_json'),
  raw('two values', `${JSON.stringify(good)}${JSON.stringify(good)}`, 'malformed_json'),
  raw('JSON with a comment', `${JSON.stringify(good)} // ${ECHO}`, 'malformed_json'),
  raw('100,000 open brackets', '['.repeat(100_000), 'malformed_json'),
  raw('a byte that is no UTF-8', withByte(0xff), 'malformed_json'),
  raw('a lone continuation byte', withByte(0x80), 'malformed_json'),
  raw('UTF-16', new Uint8Array(Buffer.from(JSON.stringify(good), 'utf16le')), 'malformed_json'),
  raw('no media type', utf8.encode(JSON.stringify(good)), 'unsupported_media_type', {}),
  raw('a form', 'phone=1&text=a', 'unsupported_media_type', { 'content-type': 'application/x-www-form-urlencoded' }),
  raw('text', JSON.stringify(good), 'unsupported_media_type', { 'content-type': 'text/plain' }),
  raw('five megabytes', JSON.stringify({ ...good, text: 'a'.repeat(5 * MEGABYTE) }), 'payload_too_large'),
  raw('five megabytes of nothing', ' '.repeat(5 * MEGABYTE), 'payload_too_large'),
  raw('nine megabytes', JSON.stringify({ ...good, text: 'a'.repeat(9 * MEGABYTE) }), 'payload_too_large'),
  raw('nine megabytes without a length', inPieces(9), 'payload_too_large'),
  raw('five megabytes without a length', inPieces(5), 'payload_too_large'),
  ...['a b', '', 'x'.repeat(129), 'کلید'].map((key) => ({
    ...send(`Idempotency-Key of ${key.length} characters`, good),
    headers: { 'idempotency-key': encodeHeader(key) },
  })),
];

/** fetch takes bytes above 0x7f in a header as Latin-1 only. */
function encodeHeader(value: string): string {
  return Buffer.from(value, 'utf8').toString('latin1');
}

const BATCHES: Bad[] = [
  ...[undefined, null, {}, 'x', [], Array.from({ length: 1_001 }, () => good)].map((messages) =>
    post('gateway', '/send/batch', { user_id: USER, messages }),
  ),
  post('gateway', '/send/batch', { messages: [good] }),
  post('gateway', '/send/batch', { user_id: USER, messages: [{ phone: PHONE, text: 'a' }], [ECHO]: 1 }),
];

const MONEY: Bad[] = [
  ...[
    '',
    '?amount=',
    '?amount=0',
    '?amount=-1',
    '?amount=%2B1',
    '?amount=1.5',
    '?amount=1e3',
    '?amount=0x10',
    '?amount=1_000',
  ].map(charge),
  ...[
    '?amount=9007199254740992',
    '?amount=9007199254740993',
    '?amount=1000000000000000',
    '?amount=NaN',
    '?amount=%201',
  ].map(charge),
  ...[`?amount=${ECHO}`, '?amount=۱۲', '?amount=1&amount=2', '?amount[]=1', '?amount=12%00'].map(charge),
  ...['a b', '%00', 'علی', 'x'.repeat(65), '%ff'].map((user) => ({
    ...charge('?amount=5'),
    name: `charge of ${user.slice(0, 10)}`,
    path: `/charge/${user}?amount=5`,
  })),
  ...[0, 1.5, '5', null, 1e16, 2 ** 53].map((amount) => post('billing', `/adjust/${USER}`, { amount, reason: 'a' })),
  ...[undefined, '', 5, 'x'.repeat(201)].map((reason) => post('billing', `/adjust/${USER}`, { amount: 5, reason })),
  post('billing', `/adjust/${USER}`, { amount: 5, reason: 'a', [ECHO]: 1 }),
  post('billing', `/adjust/${USER}`, { amount: -FUNDS - 1, reason: 'too much' }, 'insufficient_balance'),
];

const ID = '0193a5c8-7c11-7d3e-9f00-5a1b2c3d4e5f';
const OTHERS: Bad[] = [
  ...[{ text: '' }, { text: 1 }, {}, { text: 'a', type: 'x' }, { text: 'a', phone: ECHO }, { text: '\ud83d' }].map(
    (json) => post('gateway', '/preview', json),
  ),
  post('gateway', '/preview', { text: 'a', phone: newPhone('940') }, 'no_route'),
  ...['limit=0', 'limit=501', 'limit=-1', 'limit=1.5', `limit=${ECHO}`, 'limit=1&limit=2'].map((q) =>
    get('report', `/report/${USER}?${q}`),
  ),
  ...[
    `status=${ECHO}`,
    `type=${ECHO}`,
    `phone=${ECHO}`,
    `batch=${ECHO}`,
    `from=${ECHO}`,
    'to=2026-13-01',
    'from=2026-02-30',
  ].map((q) => get('report', `/report/${USER}?${q}`)),
  ...[`cursor=${ECHO}`, 'cursor=', 'cursor=AAAA', `unknown=${ECHO}`, 'format=xml', 'operator=%00'].map((q) =>
    get('report', `/report/${USER}?${q}`),
  ),
  get('report', `/report/${'x'.repeat(65)}`),
  get('report', `/messages/${ECHO}`),
  get('report', `/messages/${ID}`, 'not_found'),
  get('report', `/report/${USER}/summary?from=${ECHO}`),
  get('report', `/report/${USER}/statement?cursor=${ECHO}`),
  get('report', `/dead-letters?user_id=a%20b`),
  post('report', `/dead-letters/${ID}/replay`, undefined, 'not_found'),
  post('report', `/dead-letters/${ECHO}/replay`, undefined),
  { ...get('report', `/dead-letters/${ID}`, 'not_found'), method: 'DELETE' },
  post('dispatcher', '/receipts/nobody', { id: '1', status: 'delivered' }, 'not_found'),
  ...[{}, { id: '', status: 'delivered' }, { id: '1', status: ECHO }, { id: '1', status: 'delivered', at: ECHO }].map(
    (json) => post('dispatcher', '/receipts/mci', json),
  ),
  ...[
    { id: 1, status: 'delivered' },
    { id: 'x'.repeat(129), status: 'delivered' },
    { id: '1', status: 'delivered', error: 'بد' },
  ].map((json) => post('dispatcher', '/receipts/mci', json)),
  ...(['billing', 'gateway', 'dispatcher', 'report'] as const).flatMap((service) => [
    get(service, `/${ECHO}`, 'not_found'),
    ...['PATCH', 'DELETE', 'OPTIONS'].map((method) => ({
      ...get(service, '/health/live', 'method_not_allowed'),
      method,
      name: `${service} ${method} /health/live`,
    })),
    get(service, '/..%2f..%2fetc%2fpasswd', 'not_found'),
  ]),
];

const request = ({ service, method = 'POST', path, json, body, headers }: Bad): Promise<Answer<Problem>> =>
  ask<Problem>(method, stack.urls[service] + path, {
    ...(json === undefined ? {} : { json }),
    ...(body === undefined ? {} : { body: typeof body === 'function' ? body() : body }),
    ...(headers === undefined ? {} : { headers }),
  });

/** What is wrong with an answer to bad input, as a list of sentences. */
function faultsOf({ name, code }: Bad, { status, headers, text, json }: Answer<Problem>): string[] {
  const faults: string[] = [];
  const fault = (what: string): void => void faults.push(`${name}: ${what}; ${status} ${text.slice(0, 300)}`);
  if (status !== ERRORS[code].status || json?.code !== code) fault(`is not ${ERRORS[code].status} ${code}`);
  if (!headers.get('content-type')?.startsWith('application/problem+json')) fault('is no problem document');
  else {
    if (json.status !== status || json.type !== `/problems/${json.code}` || !json.title || !json.detail)
      fault('is half a problem');
    if (!json.request_id || headers.get('x-request-id') !== json.request_id) fault('has no request id');
  }
  if (text.includes(ECHO)) fault('repeats the input');
  return faults;
}

for (const [what, cases] of Object.entries({ sends: SENDS, batches: BATCHES, amounts: MONEY, others: OTHERS })) {
  test(`bad ${what} are told what is wrong, in the one error shape, never as a fault of ours`, async () => {
    const faults: string[] = [];
    for (const bad of cases) faults.push(...faultsOf(bad, await request(bad)));
    expect(faults).toEqual([]);
  });
}

test('a text that is too long is told so, at each door that takes one, and the name of an unknown field is never repeated', async () => {
  const text = pages(10_000);
  const fields = [{ field: 'text', detail: 'must be a text of 1 to 40,000 characters' }];
  const post = (path: string, json: unknown) => ask<Problem>('POST', stack.urls.gateway + path, { json });
  for (const [path, json] of [
    ['/send', { ...good, text }],
    ['/preview', { text }],
  ] as const)
    expect((await post(path, json)).json.errors).toEqual(fields);
  const messages = [{ phone: PHONE, text }, { phone: PHONE, text: 'a', [ECHO]: 1 }, 7];
  const { json, text: answer } = await stack.tryBatch(USER, messages);
  const told = json.results.map((result) => 'error' in result && (result.error as Partial<Problem>).errors);
  expect(told.slice(0, 2)).toEqual([fields, [{ field: 'message', detail: 'has a field that is not known' }]]);
  expect(json).toMatchObject({ accepted: 0, refused: 3 });
  expect(answer).not.toContain(ECHO);
});

test('after all of it nothing was written: the balance is whole, no message is known, no operator got one', async () => {
  await stack.charge(USER, FUNDS);
  for (const bad of [...SENDS, ...BATCHES, ...MONEY]) {
    const { status } = await request(bad);
    expect([bad.name, status >= 400 && status < 500]).toEqual([bad.name, true]);
  }
  const audit = await assertSettled(stack, USER, 0);
  expect(audit.redis).toMatchObject({ topped_up: FUNDS, available: FUNDS, open_holds: 0 });
  expect((await stack.report(USER)).items).toEqual([]);
  for (const name of stack.simulator.names) expect(stack.simulator.counters(name).received).toBe(0);
});

test('an account can hold the most that the rules allow, and not a Rial more', async () => {
  const top = (amount: string) => stack.call<Problem>('billing', 'POST', `/charge/rich?amount=${amount}`);
  for (let i = 0; i < 8; i++) expect((await top('999999999999999')).status).toBe(200);
  const refused = await top('999999999999999');
  expect([refused.status, refused.json.code]).toEqual([422, 'invalid_request']);
  expect((await top('8')).status).toBe(200);
  expect((await top('1')).status).toBe(422);
  const audit = await assertSettled(stack, 'rich', 0);
  expect(audit.redis.available).toBe(8_000_000_000_000_000);
});

test('an unknown account has zeros and an empty list', async () => {
  expect(await stack.balance('stranger')).toEqual({
    user_id: 'stranger',
    available: 0,
    held: 0,
    posted: 0,
    topped_up: 0,
  });
  const page = await stack.report('stranger');
  expect([page.items, page.next_cursor]).toEqual([[], null]);
  expect(Object.values(page.counts).every((count) => count === 0)).toBe(true);
  expect((await stack.audit('stranger')).balanced).toBe(true);
});
