import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { Type } from '@sinclair/typebox';
import { ACCESS as BILLING } from '../../billing/access.ts';
import { ACCESS as DISPATCHER } from '../../dispatcher/access.ts';
import { ACCESS as GATEWAY } from '../../gateway/access.ts';
import { ACCESS as REPORT } from '../../report/access.ts';
import { type Caller, checkRule, createGuard, keyOf, ruleOf } from '../../shared/auth.ts';
import { jsonBody } from '../../shared/body.ts';
import type { Credentials } from '../../shared/credentials.ts';
import { createDoor, listen } from '../../shared/http.ts';
import { createKeyCache } from '../../shared/key-cache.ts';
import { hashOf, type KeyRecord, SCOPES, type Scope } from '../../shared/keys.ts';
import { createLog } from '../../shared/log.ts';
import { createMetrics } from '../../shared/metrics.ts';
import type { Server } from '../../shared/runtime.ts';
import { type Ask, ask } from '../support/http.ts';

const ALL = { ...BILLING, ...GATEWAY, ...DISPATCHER, ...REPORT };

/** Each route, and the scopes that may call it; `admin` always may. Written out here, not derived: this is the promise. */
const ROUTES: Readonly<Record<string, readonly Scope[] | 'anybody'>> = {
  'GET /health/live': 'anybody',
  'GET /health/ready': 'anybody',
  'GET /swagger': 'anybody',
  'GET /swagger/json': 'anybody',
  'GET /swagger/:file': 'anybody',
  'GET /metrics': ['metrics'],
  'POST /charge/:user_id': [],
  'POST /adjust/:user_id': [],
  'GET /audit/:user_id': [],
  'GET /balance/:user_id': ['send', 'report'],
  'POST /send': ['send'],
  'POST /send/batch': ['send'],
  'POST /preview': ['send'],
  'GET /operators': [],
  'GET /ported-numbers/:phone': [],
  'PUT /ported-numbers/:phone': [],
  'DELETE /ported-numbers/:phone': [],
  'POST /receipts/:operator': ['receipts'],
  'GET /report/:user_id': ['report'],
  'GET /report/:user_id/summary': ['report'],
  'GET /report/:user_id/statement': ['report'],
  'GET /messages/:id': ['report'],
  'GET /accounts/:user_id/totals': [],
  'GET /dead-letters': [],
  'POST /dead-letters/:id/replay': [],
  'DELETE /dead-letters/:id': [],
  'GET /a-route-that-nobody-has-named': [],
};

const callerWith = (scopes: readonly Scope[], more: Partial<Caller> = {}): Caller => ({
  key: 'k',
  admin: scopes.includes('admin'),
  scopes: new Set(scopes),
  account: '123',
  operator: null,
  rate: null,
  ...more,
});
const may = (route: string, caller: Caller, params: Record<string, string> = { user_id: '123' }): boolean => {
  const [method = '', path = ''] = route.split(' ');
  try {
    checkRule(ruleOf(ALL, method, path), caller, params);
    return true;
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: 'forbidden' });
    return false;
  }
};

describe('the table of scopes', () => {
  test.each(Object.entries(ROUTES))('%s is for these scopes and admin alone', (route, wanted) => {
    for (const scope of SCOPES) {
      const allowed = wanted === 'anybody' || scope === 'admin' || wanted.includes(scope);
      expect(`${scope}: ${may(route, callerWith([scope]))}`).toBe(`${scope}: ${allowed}`);
    }
  });

  test('names every route that a service gives away', () => {
    expect(Object.keys(ALL).filter((route) => ROUTES[route] === undefined)).toEqual([]);
  });

  test('whoever may read may ask with HEAD as well, and nobody else', () => {
    expect(may('HEAD /balance/:user_id', callerWith(['send']))).toBe(true);
    expect(may('HEAD /audit/:user_id', callerWith(['send']))).toBe(false);
  });

  test.each(Object.keys(ROUTES).filter((route) => route.includes(':user_id')))(
    '%s is refused for another account, or for one that only looks alike',
    (route) => {
      const everything = callerWith(['send', 'report', 'receipts', 'metrics']);
      for (const user_id of ['124', '1234', '12', '0123', '123.', ''])
        expect(may(route, everything, { user_id })).toBe(false);
      expect(may(route, callerWith(['send', 'report'], { account: null }))).toBe(false);
      expect(may(route, callerWith(['admin'], { account: null }), { user_id: '124' })).toBe(true);
    },
  );

  test('a key bound to an operator brings no other’s receipts', () => {
    const bound = callerWith(['receipts'], { account: null, operator: 'MCI' });
    expect(may('POST /receipts/:operator', bound, { operator: 'mci' })).toBe(true);
    expect(may('POST /receipts/:operator', bound, { operator: 'MTN' })).toBe(false);
    expect(may('POST /receipts/:operator', { ...bound, operator: null }, { operator: 'MTN' })).toBe(true);
  });
});

test.each<[string, Record<string, string>, string | null]>([
  ['a bearer', { authorization: 'Bearer k' }, 'k'],
  ['a bearer in any case, with blanks', { authorization: 'bearer   k ' }, 'k'],
  ['the other header', { 'x-api-key': 'k' }, 'k'],
  ['both, the same', { authorization: 'Bearer k', 'x-api-key': 'k' }, 'k'],
  ['both, and they differ', { authorization: 'Bearer k', 'x-api-key': 'l' }, null],
  ['a basic login beside a key', { authorization: 'Basic azps', 'x-api-key': 'k' }, null],
  ['a basic login', { authorization: 'Basic azps' }, null],
  ['a bearer without a key', { authorization: 'Bearer ' }, null],
  ['two words', { authorization: 'Bearer k l' }, null],
  ['nothing', {}, null],
])('the key is read from %s', (_, headers, key) => {
  expect(keyOf(new Headers(headers))).toBe(key);
});

describe('at a door', () => {
  const INTERNAL = 'between-the-services-0123456789abcdef';
  const SECOND = 'the-next-one-while-they-are-changed-00';
  const NOW = Date.UTC(2026, 10, 22);
  const lines: string[] = [];
  const log = createLog('test', 'debug', (line) => lines.push(line));
  const records = new Map<string, KeyRecord>();
  let touched = 0;
  let clock = NOW;

  const makeKey = (name: string, more: Partial<KeyRecord> = {}): string => {
    const id = Buffer.from(name.padEnd(8, '.')).toString('hex');
    const key = `jsms_${id}_${'5e'.repeat(32)}`;
    records.set(id, {
      id,
      hash: hashOf(key).toString('hex'),
      scopes: ['send', 'report'],
      user: '123',
      operator: null,
      allow: [],
      expires_at: null,
      created_at: 0,
      revoked_at: null,
      note: '',
      ...more,
    });
    return key;
  };
  const keys = {
    own: makeKey('own'),
    admin: makeKey('admin', { scopes: ['admin'], user: null }),
    revoked: makeKey('revoked', { revoked_at: 1 }),
    expired: makeKey('expired', { expires_at: NOW }),
    lasting: makeKey('lasting', { expires_at: NOW + 1 }),
    near: makeKey('near', { allow: ['127.0.0.0/8'] }),
    far: makeKey('far', { allow: ['10.0.0.0/8'] }),
  };
  const guardFor = (credentials: Partial<Credentials>) =>
    createGuard({
      access: {
        'GET /balance/:user_id': { scopes: ['send', 'report'], account: 'path' },
        'GET /messages/:id': { scopes: ['report'], account: 'answer', absent: 'There is no such message.' },
        'POST /send': { scopes: ['send'], account: 'body' },
      },
      credentials: {
        required: true,
        internalKeys: [INTERNAL, SECOND],
        tls: null,
        ca: null,
        trusted: null,
        ...credentials,
      },
      keys: createKeyCache(async (id) => records.get(id) ?? null),
      log,
      metrics: createMetrics('test'),
      now: () => clock,
    });
  const openDoor = (guard: ReturnType<typeof guardFor>): Server => {
    const door = createDoor({
      service: 'test',
      title: 'test',
      description: 'test',
      log,
      metrics: createMetrics('test'),
      health: () => ({ ready: true, checks: {} }),
      guard,
    })
      .get('/balance/:user_id', ({ params }) => {
        touched += 1;
        return { user_id: params.user_id };
      })
      .get('/messages/:id', ({ params }) => ({ user_id: params.id, text: 'hello' }))
      .get('/unnamed', () => {
        touched += 1;
        return 'hello';
      })
      .post(
        '/send',
        ({ body, request }) => {
          guard.owns(request, body.user_id);
          touched += 1;
          return { user_id: body.user_id };
        },
        { ...jsonBody, body: Type.Object({ user_id: Type.String() }) },
      );
    return listen(door, '127.0.0.1', 0, 'PORT', { guard });
  };

  let server: Server;
  let behindProxy: Server;
  beforeAll(() => {
    server = openDoor(guardFor({}));
    behindProxy = openDoor(guardFor({ trusted: (address) => address === '127.0.0.1' }));
  });
  afterAll(async () => {
    await Promise.all([server.stop(), behindProxy.stop()]);
  });
  const call = (method: string, path: string, key?: string, more: Ask = {}, at: Server = server) =>
    ask<Record<string, unknown>>(method, `http://127.0.0.1:${at.port}${path}`, {
      ...more,
      headers: { ...(key === undefined ? {} : { authorization: `Bearer ${key}` }), ...more.headers },
    });

  test('without a key 401 says how to show one', async () => {
    const refused = await call('GET', '/balance/123');
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toBe('Bearer realm="jsms"');
    expect(refused.json).toMatchObject({ code: 'unauthorized', status: 401 });
  });

  test.each<[string, string | undefined, string]>([
    ['a word', 'sesame', 'This key is not known.'],
    ['a key that was never made', `jsms_${'0'.repeat(16)}_${'0'.repeat(64)}`, 'This key is not known.'],
    ['the id of a key with another secret', `${keys.own.slice(0, -1)}0`, 'This key is not known.'],
    ['the id of a revoked key with another secret', `${keys.revoked.slice(0, -1)}0`, 'This key is not known.'],
    ['the hash of a key', hashOf(keys.own).toString('hex'), 'This key is not known.'],
    ['a revoked key', keys.revoked, 'This key was revoked.'],
    ['an expired key', keys.expired, 'This key has expired.'],
  ])('%s is refused, and nothing runs', async (_, key, detail) => {
    const before = touched;
    const refused = await call('GET', '/balance/123', key);
    expect(refused.json).toMatchObject({ status: 401, code: 'unauthorized', detail });
    expect(touched).toBe(before);
  });

  test('a key works for its own account, until the very millisecond of its expiry', async () => {
    for (const key of [keys.own, keys.lasting]) expect((await call('GET', '/balance/123', key)).status).toBe(200);
    expect((await call('GET', '/balance/123', undefined, { headers: { 'x-api-key': keys.own } })).status).toBe(200);
  });

  test('another account’s path, however it is spelled, is refused before anything runs', async () => {
    const before = touched;
    for (const path of [
      '/balance/124',
      '/balance/%31%32%34',
      '/balance/123%2F..%2F124',
      '/balance/124/',
      '/balance/124?user_id=123',
    ]) {
      expect((await call('GET', path, keys.own)).json).toMatchObject({ status: 403, code: 'forbidden' });
    }
    expect(touched).toBe(before);
  });

  test('another account’s body is refused before anything runs', async () => {
    const before = touched;
    const foreign = await call('POST', '/send', keys.own, { json: { user_id: '124' } });
    expect(foreign.json).toMatchObject({ status: 403, code: 'forbidden' });
    expect(touched).toBe(before);
    expect((await call('POST', '/send', keys.own, { json: { user_id: '123' } })).status).toBe(200);
    expect((await call('POST', '/send', keys.admin, { json: { user_id: '124' } })).status).toBe(200);
  });

  test('another account’s message is not there', async () => {
    const refused = await call('GET', '/messages/124', keys.own);
    expect(refused.json).toMatchObject({ status: 404, detail: 'There is no such message.' });
    expect(refused.text).not.toContain('hello');
    expect((await call('GET', '/messages/123', keys.own)).status).toBe(200);
    expect((await call('GET', '/messages/124', keys.admin)).status).toBe(200);
  });

  test('a route that nobody named is for admin alone', async () => {
    expect((await call('GET', '/unnamed', keys.own)).status).toBe(403);
    expect((await call('GET', '/unnamed', keys.admin)).status).toBe(200);
  });

  test('health and documentation are open, whatever key is shown; the metrics are not', async () => {
    for (const path of ['/health/live', '/health/ready', '/swagger', '/swagger/json']) {
      expect((await call('GET', path)).status).toBe(200);
      expect((await call('GET', path, 'sesame')).status).toBe(200);
    }
    expect((await call('GET', '/metrics')).status).toBe(401);
    expect((await call('GET', '/metrics', keys.own)).status).toBe(403);
    expect((await call('GET', '/metrics', keys.admin)).status).toBe(200);
  });

  test('what is not there is not told to strangers', async () => {
    expect((await call('GET', '/nothing')).status).toBe(401);
    expect((await call('OPTIONS', '/send')).status).toBe(401);
    expect((await call('GET', '/health/live/more')).status).toBe(401);
    expect((await call('GET', '/nothing', keys.own)).status).toBe(404);
  });

  test('a body is not read for a stranger', async () => {
    const refused = await call('POST', '/send', undefined, {
      body: 'x'.repeat(1_000_000),
      headers: { 'content-type': 'text/plain' },
    });
    expect(refused.status).toBe(401);
  });

  test('the services’ own key may do everything, the next one as well while it is changed', async () => {
    for (const key of [INTERNAL, SECOND]) expect((await call('GET', '/unnamed', key)).status).toBe(200);
    expect((await call('GET', '/unnamed', `${INTERNAL},${SECOND}`)).status).toBe(401);
  });

  test('a key that is bound to addresses is refused from elsewhere', async () => {
    expect((await call('GET', '/balance/123', keys.near)).status).toBe(200);
    expect((await call('GET', '/balance/123', keys.far)).json).toMatchObject({ status: 403, code: 'forbidden' });
    const spoofed = { headers: { 'x-forwarded-for': '10.1.2.3' } };
    expect((await call('GET', '/balance/123', keys.far, spoofed)).status).toBe(403);
    expect((await call('GET', '/balance/123', keys.far, spoofed, behindProxy)).status).toBe(200);
    expect((await call('GET', '/balance/123', keys.near, spoofed, behindProxy)).status).toBe(403);
  });

  test('its document asks for a key, and names 401 and 403 at what is not open', async () => {
    const { json } = await call('GET', '/swagger/json');
    expect(json).toMatchObject({ security: [{ bearer: [] }, { key: [] }] });
  });

  test('refusals are logged with the key’s id and the address, a few a second, and never with the key', async () => {
    lines.length = 0;
    clock += 5_000;
    await Promise.all(Array.from({ length: 50 }, () => call('GET', '/balance/123', keys.far)));
    const refused = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'key_refused');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThanOrEqual(10);
    const id = keys.far.slice(5, 21);
    expect(refused[0]).toMatchObject({
      event: 'key_refused',
      reason: 'address',
      key: id,
      address: '127.0.0.1',
    });
    expect(lines.join('')).not.toContain('5e'.repeat(6));
  });
});
