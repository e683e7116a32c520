import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { connect } from 'node:net';
import { settings } from '../../billing/config.ts';
import { start } from '../../billing/index.ts';
import { readSettings } from '../../shared/config.ts';
import { ERROR_CODES, type Problem } from '../../shared/error.ts';
import { createScope } from '../../shared/lifecycle.ts';
import { AMOUNT_MAX_RIALS, TOTAL_MAX_RIALS } from '../../shared/money.ts';
import { assertCoherent } from '../support/coherence.ts';
import { type Answer, type Ask, ask } from '../support/http.ts';
import { infra } from '../support/infra.ts';
import { until } from '../support/poll.ts';
import { SHARD_COUNT, tagOf } from '../support/shards.ts';
import { callsOn } from './calls.ts';
import { dumpOf, type OwnRedis, quiet, startOwnRedis } from './own-redis.ts';

const { kafkaBrokers } = infra();
const scope = createScope(quiet);
let own: OwnRedis;
let url: string;
let port: number;
beforeAll(async () => {
  own = await startOwnRedis();
  const env = {
    BILLING_HTTP_PORT: '0',
    BILLING_GRPC_PORT: '0',
    KAFKA_BROKERS: kafkaBrokers,
    REDIS_URL: own.url,
    BILLING_SHARDS: String(SHARD_COUNT),
    // Nobody listens there: this file has no report.
    REPORT_URL: 'http://127.0.0.1:1',
  };
  ({ httpPort: port } = await start(readSettings(settings, env), scope, quiet));
  url = `http://127.0.0.1:${port}`;
}, 60_000);
afterAll(async () => {
  await scope.close();
  await own.close();
});
beforeEach(async () => {
  await own.redis.flushdb();
});

const call = (method: string, path: string, options?: Ask): Promise<Answer<Problem>> =>
  ask(method, `${url}${path}`, options);
const charge = (path: string, headers: Record<string, string> = {}) => call('POST', `/charge/${path}`, { headers });
const adjust = (user: string, json: unknown) => call('POST', `/adjust/${user}`, { json });
const dump = (): Promise<Record<string, string>> => dumpOf(own.redis);
/** All that is written, once the top-ups before are published: their entries leave the books by themselves. */
const calm = (): Promise<Record<string, string>> =>
  until('the top-ups are published', async () => {
    const all = await dump();
    return Object.keys(all).some((key) => key.endsWith(':ledger')) ? null : all;
  });

/** Sends bytes as they are, and reads until the server closes or has answered a whole problem. */
function raw(bytes: string | Buffer): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    let got = Buffer.alloc(0);
    const done = (): void => {
      const text = got.toString();
      resolve({
        status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0),
        body: text.slice(text.indexOf('\r\n\r\n') + 4),
      });
    };
    socket.setTimeout(5_000, () => reject(new Error('no answer')));
    socket.on('data', (piece: Buffer) => {
      got = Buffer.concat([got, piece]);
    });
    socket.on('close', done);
    socket.on('error', reject);
    socket.write(bytes);
  });
}
const request = (line: string, headers = '', body: string | Buffer = ''): Buffer =>
  Buffer.concat([
    Buffer.from(`${line} HTTP/1.1\r\nHost: billing\r\nConnection: close\r\n${headers}\r\n`, 'latin1'),
    Buffer.from(body as string),
  ]);

function expectProblem({ status, headers, json }: Answer<Problem>, code: Problem['code'], wanted: number): void {
  expect({ status, code: json?.code }).toEqual({ status: wanted, code });
  expect(headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  expect(ERROR_CODES).toContain(json.code);
  expect(json).toMatchObject({ type: `/problems/${code}`, status: wanted });
  expect(json.title.length * json.detail.length * json.request_id.length).toBeGreaterThan(0);
  expect(headers.get('x-request-id')).toBe(json.request_id);
}

test('the curl of the README tops an account up', async () => {
  const { status, json } = await charge('123?amount=123456');
  expect(status).toBe(200);
  expect(json as unknown).toEqual({
    user_id: '123',
    transaction_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    amount: 123_456,
    available: 123_456,
  });
  const balance = await call('GET', '/balance/123');
  expect(balance.json as unknown).toEqual({
    user_id: '123',
    available: 123_456,
    held: 0,
    posted: 0,
    topped_up: 123_456,
  });
  await assertCoherent(own.url);
});

test('an account that nobody knows has zeros, and asking for it writes nothing', async () => {
  const before = await calm();
  expect((await call('GET', '/balance/nobody')).json as unknown).toEqual({
    user_id: 'nobody',
    available: 0,
    held: 0,
    posted: 0,
    topped_up: 0,
  });
  expect((await call('GET', '/audit/nobody')).status).toBe(200);
  expect(await dump()).toEqual(before);
});

test('the audit shows held and posted beside each other, and is not balanced while the report is silent', async () => {
  const billing = callsOn(own.redis);
  await charge('a?amount=100');
  await billing.hold({ user: 'a', items: [{ price: 30 }] });
  expect((await call('GET', '/audit/a')).json as unknown).toEqual({
    user_id: 'a',
    redis: { topped_up: 100, available: 70, held: 30, posted: 0, open_holds: 1 },
    postgres: null,
    lag: { topped_up: null, posted: null, records: null, read_until: null },
    balanced: false,
  });
});

const BAD_AMOUNTS = [
  'amount=0',
  'amount=000',
  'amount=-1',
  'amount=%2B5',
  'amount=1.5',
  'amount=1e3',
  'amount=0x10',
  'amount=9007199254740993',
  'amount=9007199254740992',
  'amount=1000000000000000',
  'amount=',
  'amount=%20',
  'amount=5%20',
  'amount=NaN',
  'amount=true',
  'amount=۱۲۳',
  'amount=%DB%B1%DB%B2',
  'amount=1,000',
  'amount=%FF',
  'amount=1%00',
  'amount',
  'amount[]=5',
  'amount=5&amount=5',
  'amount=5&amount=6',
  'amount=5&other=1',
  'Amount=5',
  'other=5',
  '',
];

test.each(BAD_AMOUNTS)('an amount that is none is refused and writes nothing: ?%s', async (query) => {
  const before = await calm();
  expectProblem(await charge(`123?${query}`), 'invalid_request', 422);
  expect(await dump()).toEqual(before);
});

test('the largest amount passes, up to the bound of the total', async () => {
  const { json } = await charge(`rich?amount=${AMOUNT_MAX_RIALS}`);
  expect(json as unknown).toMatchObject({ amount: AMOUNT_MAX_RIALS, available: AMOUNT_MAX_RIALS });
  for (const _ of Array(7)) await charge(`rich?amount=${AMOUNT_MAX_RIALS}`);
  const over = await charge(`rich?amount=${AMOUNT_MAX_RIALS}`);
  expectProblem(over, 'invalid_request', 422);
  expect(over.json.errors).toEqual([
    { field: 'amount', detail: `all top-ups of an account stay at or below ${TOTAL_MAX_RIALS} Rials` },
  ]);
  expect((await charge('rich?amount=8')).json as unknown).toMatchObject({ available: TOTAL_MAX_RIALS });
  await assertCoherent(own.url);
});

const BAD_USERS = ['a%20b', 'a:b', '%D8%B9%D9%84%DB%8C', 'a%2Fb', 'x'.repeat(65), '%00', 'a%0Ab', '{b00}', '*'];

test.each(BAD_USERS)('a user id that is none is refused on every route and writes nothing: %s', async (user) => {
  const before = await calm();
  expectProblem(await charge(`${user}?amount=5`), 'invalid_request', 422);
  expectProblem(await adjust(user, { amount: 5, reason: 'x' }), 'invalid_request', 422);
  expectProblem(await call('GET', `/balance/${user}`), 'invalid_request', 422);
  expectProblem(await call('GET', `/audit/${user}`), 'invalid_request', 422);
  expect(await dump()).toEqual(before);
});

test('a user id of 64 letters, digits, dots, dashes and underscores is one', async () => {
  const user = `A-z_0.9${'x'.repeat(57)}`;
  expect((await charge(`${user}?amount=5`)).status).toBe(200);
  expect((await call('GET', `/balance/${user}`)).json as unknown).toMatchObject({ available: 5 });
});

const BAD_BODIES: [unknown, string][] = [
  [{ amount: 0, reason: 'x' }, 'zero'],
  [{ amount: 1.5, reason: 'x' }, 'a fraction'],
  [{ amount: '5', reason: 'x' }, 'a text'],
  [{ amount: 1e15, reason: 'x' }, '16 digits'],
  [{ amount: -1e15, reason: 'x' }, '16 digits below zero'],
  [{ amount: 2 ** 53, reason: 'x' }, '2^53'],
  [{ amount: null, reason: 'x' }, 'null'],
  [{ amount: [5], reason: 'x' }, 'a list'],
  [{ amount: 5 }, 'no reason'],
  [{ amount: 5, reason: '' }, 'an empty reason'],
  [{ amount: 5, reason: '   ' }, 'a blank reason'],
  [{ amount: 5, reason: 7 }, 'a number as reason'],
  [{ amount: 5, reason: 'x'.repeat(201) }, 'a long reason'],
  [{ amount: 5, reason: 'a\u0000b' }, 'a NUL in the reason'],
  [{ amount: 5, reason: 'half \ud83d' }, 'half a surrogate pair'],
  [{ amount: 5, reason: 'x', other: 1 }, 'a field too many'],
  [{ reason: 'x' }, 'no amount'],
  [[], 'a list for a body'],
  [null, 'null for a body'],
  ['x', 'a text for a body'],
  [5, 'a number for a body'],
];

test.each(BAD_BODIES)('a correction that is none is refused and writes nothing: %j (%s)', async (body) => {
  await charge('123?amount=100');
  const before = await calm();
  expectProblem(await adjust('123', body), 'invalid_request', 422);
  expect(await dump()).toEqual(before);
});

test('a correction goes both ways, never below what is available, and says why in Persian', async () => {
  await charge('123?amount=100');
  expect((await adjust('123', { amount: -30, reason: 'شارژ اشتباه' })).json as unknown).toMatchObject({
    available: 70,
  });
  expect((await adjust('123', { amount: 5, reason: 'x' })).json as unknown).toMatchObject({ amount: 5, available: 75 });
  const before = await calm();
  expectProblem(await adjust('123', { amount: -76, reason: 'x' }), 'insufficient_balance', 402);
  expect(await dump()).toEqual(before);
  await assertCoherent(own.url);
});

test('a top-up with an Idempotency-Key counts once and says that it was replayed', async () => {
  const key = { 'idempotency-key': 'one' };
  const first = await charge('123?amount=100', key);
  expect(first.headers.has('idempotency-replayed')).toBe(false);
  const again = await charge('123?amount=100', key);
  expect(again.headers.get('idempotency-replayed')).toBe('true');
  expect(again.json).toEqual(first.json);
  expectProblem(await charge('123?amount=101', key), 'idempotency_conflict', 409);
  expect((await charge('124?amount=101', key)).status).toBe(200);
  for (const bad of ['a b', 'x'.repeat(129)])
    expectProblem(await charge('123?amount=1', { 'idempotency-key': bad }), 'invalid_request', 422);
  expect((await call('GET', '/balance/123')).json as unknown).toMatchObject({ available: 100 });
  await assertCoherent(own.url);
});

test('many top-ups at one moment with one key are one', async () => {
  const key = { 'idempotency-key': 'one' };
  const answers = await Promise.all(Array.from({ length: 30 }, () => charge('123?amount=7', key)));
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  expect(answers.filter(({ headers }) => headers.has('idempotency-replayed'))).toHaveLength(29);
  await assertCoherent(own.url);
});

const JSON_TYPE = { 'content-type': 'application/json' };

test('what is not JSON in UTF-8, not application/json or too large has a code of its own', async () => {
  const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = JSON_TYPE) =>
    call('POST', '/adjust/123', { body, headers });
  for (const body of ['{', '{"amount":5,"reason":"x"', "{'amount':5}", '{"amount":05,"reason":"x"}', '\u0000', 'NaN'])
    expectProblem(await post(body), 'malformed_json', 400);
  const bad = Buffer.concat([Buffer.from('{"amount":5,"reason":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
  expectProblem(await post(new Uint8Array(bad)), 'malformed_json', 400);
  const good = '{"amount":5,"reason":"x"}';
  expectProblem(await post(good, {}), 'unsupported_media_type', 415);
  expectProblem(await post(good, { 'content-type': 'text/plain' }), 'unsupported_media_type', 415);
  expectProblem(
    await post(good, { 'content-type': 'application/x-www-form-urlencoded' }),
    'unsupported_media_type',
    415,
  );
  expectProblem(await post(`{"amount":5,"reason":"${'x'.repeat(5_000_000)}"}`), 'payload_too_large', 413);
  expect(await dump()).toEqual({});
});

test('a body without an end is refused where it passes the bound', async () => {
  const piece = `${(65_536).toString(16)}\r\n${'x'.repeat(65_536)}\r\n`;
  const headers = 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n';
  const answer = await raw(request('POST /adjust/123', headers, piece.repeat(70)));
  expect(answer.status).toBe(413);
  expect(answer.body).toContain('payload_too_large');
});

const NO_SUCH = [
  ['GET', '/'],
  ['POST', '/charge'],
  ['POST', '/charge/123/4?amount=5'],
  ['GET', '/BALANCE/123'],
  ['GET', '/swagger/plugin'],
  ['GET', '/swagger/package.json'],
  ['GET', '/swagger/..%2Fpackage.json'],
  ['GET', '/accounts/123/totals'],
] as const;

test.each(NO_SUCH)('no such path is one problem and writes nothing: %s %s', async (method, path) => {
  expectProblem(await call(method, path), 'not_found', 404);
  expect(await dump()).toEqual({});
});

const NO_SUCH_METHOD = [
  ['GET', '/charge/123?amount=5', 'POST'],
  ['PUT', '/charge/123?amount=5', 'POST'],
  ['DELETE', '/balance/123', 'GET, HEAD'],
  ['POST', '/balance/123', 'GET, HEAD'],
  ['OPTIONS', '/balance/123', 'GET, HEAD'],
] as const;

test.each(NO_SUCH_METHOD)('no such method is one problem that names the others: %s %s', async (method, path, allow) => {
  const answer = await call(method, path);
  expectProblem(answer, 'method_not_allowed', 405);
  expect(answer.headers.get('allow')).toBe(allow);
  expect(await dump()).toEqual({});
});

test('HEAD is answered without a body', async () => {
  const answer = await call('HEAD', '/balance/123');
  expect([200, 404]).toContain(answer.status);
  expect(answer.text).toBe('');
});

const BAD_LINES: [string, string | Buffer][] = [
  ['half a percent escape of UTF-8 in the path', request('GET /balance/%E0%A4%A')],
  ['an escape that is none in the path', request('GET /balance/%zz')],
  ['bytes that are no UTF-8 behind escapes', request('GET /balance/%ff%fe')],
  ['raw bytes in the path', request('GET /balance/\xff\xfe')],
  ['an escape that is none in the query', request('POST /charge/123?amount=%zz')],
  ['a fragment of UTF-8 in the query', request('POST /charge/123?amount=%E0%A4%A')],
  ['a NUL in the query', request('POST /charge/123?amount=5%00')],
];

test.each(BAD_LINES)('%s is refused in the one shape', async (_, bytes) => {
  const { status, body } = await raw(bytes);
  expect(status).toBeGreaterThanOrEqual(400);
  expect(status).toBeLessThan(500);
  const problem = JSON.parse(body.slice(body.indexOf('{'), body.lastIndexOf('}') + 1)) as Problem;
  expect({ code: problem.code, status: problem.status }).toEqual({ code: problem.code, status });
  expect(['invalid_request', 'not_found']).toContain(problem.code);
  expect(await dump()).toEqual({});
});

test('no answer echoes what was sent', async () => {
  const mark = 'CANARY7731';
  const answers = await Promise.all([
    charge(`${mark}%20?amount=5`),
    charge(`123?amount=${mark}`),
    charge(`123?amount=5&${mark}=1`),
    charge('123?amount=5', { 'idempotency-key': `${mark} ${mark}` }),
    adjust('123', { amount: mark, reason: 'x' }),
    adjust('123', { amount: 5, reason: 'x', [mark]: 1 }),
    adjust('123', { amount: 5, reason: mark.repeat(40) }),
    call('POST', '/adjust/123', { body: `{"${mark}`, headers: JSON_TYPE }),
    call('POST', '/adjust/123', { body: '{}', headers: { 'content-type': mark } }),
    call('GET', `/${mark}`),
    call('GET', `/balance/${mark}?${mark}=1`),
  ]);
  for (const answer of answers) {
    expect({ text: answer.text, refused: answer.status >= 400 && answer.status < 500 }).toEqual({
      text: expect.not.stringContaining(mark),
      refused: true,
    });
  }
  expect(await dump()).toEqual({});
});

test("the caller's own request id comes back where it is harmless", async () => {
  const own = await call('GET', '/nothing', { headers: { 'x-request-id': 'abc-1' } });
  expect(own.json.request_id).toBe('abc-1');
  const odd = await call('GET', '/nothing', { headers: { 'x-request-id': '<script>' } });
  expect(odd.json.request_id).toMatch(/^[0-9a-f-]{36}$/);
});

test('the documentation works without any internet', async () => {
  const page = await call('GET', '/swagger');
  expect(page.status).toBe(200);
  expect(page.headers.get('content-type')).toContain('text/html');
  expect(page.text).not.toMatch(/https?:\/\/|\/\/[a-z]/i);
  const files = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path as string);
  expect(files.length).toBeGreaterThanOrEqual(2);
  for (const path of files) expect((await call('GET', path)).status).toBe(200);
  const { json } = (await call('GET', '/swagger/json')) as unknown as Answer<{ paths: Record<string, unknown> }>;
  for (const path of ['/charge/{user_id}', '/adjust/{user_id}', '/balance/{user_id}', '/audit/{user_id}'])
    expect(Object.keys(json.paths)).toContain(path);
});

test('live, ready and the metrics answer', async () => {
  expect((await call('GET', '/health/live')).json as unknown).toEqual({ status: 'live' });
  expect((await call('GET', '/health/ready')).status).toBe(200);
  const metrics = await call('GET', '/metrics');
  expect(metrics.text).toContain('jsms_billing_outbox_messages');
  expect(metrics.text).toContain('jsms_billing_http_refused_total{code="not_found"}');
});

test('while Redis is away every route says so, and the service is not ready', async () => {
  await charge('123?amount=5');
  await own.server.kill();
  const away = async (): Promise<boolean> => (await call('GET', '/health/ready')).status === 503;
  await until('the service is not ready', away);
  expectProblem(await charge('123?amount=5'), 'unavailable', 503);
  expectProblem(await call('GET', '/balance/123'), 'unavailable', 503);
  expectProblem(await call('GET', '/audit/123'), 'unavailable', 503);
  await own.server.restart();
  await until('the service is ready again', async () => !(await away()));
  expect((await call('GET', '/balance/123')).json as unknown).toMatchObject({ available: 5 });
  await assertCoherent(own.url);
});

test('a start at a Redis that is not durable ends with a sentence', async () => {
  await own.redis.config('SET', 'appendfsync', 'everysec');
  const second = createScope(quiet);
  const env = { BILLING_HTTP_PORT: '0', BILLING_GRPC_PORT: '0', KAFKA_BROKERS: kafkaBrokers, REDIS_URL: own.url };
  try {
    const refused = await start(readSettings(settings, env), second, quiet).catch((thrown: Error) => thrown);
    expect((refused as Error).message).toContain('Redis has appendfsync everysec, but money needs appendfsync always');
  } finally {
    await second.close();
    await own.redis.config('SET', 'appendfsync', 'always');
  }
});

test('the account of a shard is in that shard', async () => {
  await charge('123?amount=5');
  expect(await own.redis.exists(`${tagOf('123')}:a:123`)).toBe(1);
});
