import { beforeAll, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ACCESS as BILLING } from '../../billing/access.ts';
import { ACCESS as DISPATCHER } from '../../dispatcher/access.ts';
import { ACCESS as GATEWAY } from '../../gateway/access.ts';
import { ACCESS as REPORT } from '../../report/access.ts';
import type { ErrorCode } from '../../shared/error.ts';
import type { Message } from '../support/api.ts';
import { FINAL } from '../support/api.ts';
import { AUTH_ENV, callWith, INTERNAL_KEY, makeKey, runKeys } from '../support/keys.ts';
import { newPhone, only } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { SERVICES, type ServiceName } from '../support/stack.ts';
import { useStack } from '../support/use-stack.ts';

const TEXT = 'متن بسیار محرمانه ۷۳۹۱';
const stack = useStack({ env: { ...AUTH_ENV, LOG_LEVEL: 'debug' } });
const redisUrl = (): string => stack.servers.redis.address;

const keys = { admin: '', own: '', other: '', send: '', report: '', receipts: '', metrics: '' };
type Name = keyof typeof keys;
beforeAll(async () => {
  const account = (name: string, scope: string) => makeKey(redisUrl(), '--user', name, '--scope', scope);
  keys.admin = await makeKey(redisUrl(), '--scope', 'admin', '--note', 'tests');
  keys.own = await account('k-own', 'send,report');
  keys.other = await account('k-other', 'send,report');
  keys.send = await account('k-own', 'send');
  keys.report = await account('k-own', 'report');
  keys.receipts = await makeKey(redisUrl(), '--scope', 'receipts');
  keys.metrics = await makeKey(redisUrl(), '--scope', 'metrics');
  for (const user of ['k-own', 'k-other']) {
    const charged = await callWith(stack, keys.admin, 'billing', 'POST', `/charge/${user}?amount=1000000`);
    expect(charged.status).toBe(200);
  }
}, 60_000);

const send = (key: string | null, body: Record<string, unknown> = {}) =>
  callWith<{ message_id: string; code: ErrorCode }>(stack, key, 'gateway', 'POST', '/send', {
    json: { phone: newPhone('912'), text: TEXT, user_id: 'k-own', ...body },
  });
const finalOf = (key: string, id: string): Promise<Message> =>
  until(`message ${id} is final`, async () => {
    const { json } = await callWith<Message>(stack, key, 'report', 'GET', `/messages/${id}`);
    if (FINAL.has(json.status)) return json;
    throw new Error(json.status);
  });

const id = '0193a5c8-7c11-7d3e-9f00-5a1b2c3d4e5f';
const text = { json: { text: 'hello' } };
const message = { json: { phone: '09120000001', text: 'hello', user_id: 'k-own' } };
/** Every route with a harmless call of it, and who may make it: whoever is not named gets 403, and nobody without a key. */
const CALLS: readonly [ServiceName, string, string, string, Parameters<typeof send>[1], readonly Name[]][] = [
  ['billing', 'POST', '/charge/:user_id', '/charge/k-own?amount=1', undefined, []],
  ['billing', 'POST', '/adjust/:user_id', '/adjust/k-own', { json: { amount: 1, reason: 'test' } }, []],
  ['billing', 'GET', '/audit/:user_id', '/audit/k-own', undefined, []],
  ['billing', 'GET', '/balance/:user_id', '/balance/k-own', undefined, ['own', 'send', 'report']],
  ['gateway', 'POST', '/send', '/send', message, ['own', 'send']],
  ['gateway', 'POST', '/send/batch', '/send/batch', { json: { user_id: 'k-own', messages: [{}] } }, ['own', 'send']],
  ['gateway', 'POST', '/preview', '/preview', text, ['own', 'other', 'send']],
  ['gateway', 'GET', '/balance/:user_id', '/balance/k-own', undefined, ['own', 'send', 'report']],
  ['dispatcher', 'GET', '/operators', '/operators', undefined, []],
  ['dispatcher', 'GET', '/ported-numbers/:phone', '/ported-numbers/09120000001', undefined, []],
  ['dispatcher', 'PUT', '/ported-numbers/:phone', '/ported-numbers/09120000002', { json: { operator: 'MCI' } }, []],
  ['dispatcher', 'DELETE', '/ported-numbers/:phone', '/ported-numbers/09120000002', undefined, []],
  [
    'dispatcher',
    'POST',
    '/receipts/:operator',
    '/receipts/MCI',
    { json: { id: 'nobody-knows', status: 'delivered' } },
    ['receipts'],
  ],
  ['report', 'GET', '/report/:user_id', '/report/k-own', undefined, ['own', 'report']],
  ['report', 'GET', '/report/:user_id/summary', '/report/k-own/summary', undefined, ['own', 'report']],
  ['report', 'GET', '/report/:user_id/statement', '/report/k-own/statement', undefined, ['own', 'report']],
  ['report', 'GET', '/messages/:id', `/messages/${id}`, undefined, ['own', 'other', 'report']],
  ['report', 'GET', '/accounts/:user_id/totals', '/accounts/k-own/totals', undefined, []],
  ['report', 'GET', '/dead-letters', '/dead-letters', undefined, []],
  ['report', 'POST', '/dead-letters/:id/replay', `/dead-letters/${id}/replay`, undefined, []],
  ['report', 'DELETE', '/dead-letters/:id', `/dead-letters/${id}`, undefined, []],
  ...SERVICES.map((service): [ServiceName, string, string, string, undefined, readonly Name[]] => [
    service,
    'GET',
    '/metrics',
    '/metrics',
    undefined,
    ['metrics'],
  ]),
];

test.each(CALLS)(
  '%s %s %s answers to those who may, and to nobody else',
  async (service, method, _, path, ask, who) => {
    const stranger = await callWith(stack, null, service, method, path, ask);
    expect(stranger.json).toMatchObject({ status: 401, code: 'unauthorized' });
    for (const name of Object.keys(keys) as Name[]) {
      const { status } = await callWith(stack, keys[name], service, method, path, ask);
      const allowed = name === 'admin' || who.includes(name);
      expect(`${name}: ${allowed ? status !== 401 && status !== 403 && status < 500 : status}`).toBe(
        `${name}: ${allowed ? true : 403}`,
      );
    }
    const ours = await callWith(stack, INTERNAL_KEY, service, method, path, ask);
    expect([401, 403]).not.toContain(ours.status);
  },
);

test('every route of every service is in that table, with a rule of its own', async () => {
  for (const [service, access] of [
    ['billing', BILLING],
    ['gateway', GATEWAY],
    ['dispatcher', DISPATCHER],
    ['report', REPORT],
  ] as const) {
    const { json } = await callWith<{ paths: Record<string, Record<string, unknown>> }>(
      stack,
      null,
      service,
      'GET',
      '/swagger/json',
    );
    const served = Object.entries(json.paths)
      .filter(([path]) => !path.startsWith('/health/'))
      .flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`),
      )
      .sort();
    expect(Object.keys(access).sort()).toEqual(served);
    const called = CALLS.filter(([at, , route]) => at === service && route !== '/metrics');
    expect(called.map(([, method, route]) => `${method} ${route}`).sort()).toEqual(served);
  }
});

test('a message is sent, settled and reported with the account’s own key, and is another’s in no list', async () => {
  const { status, json } = await send(keys.own);
  expect(status).toBe(202);
  expect(await finalOf(keys.own, json.message_id)).toMatchObject({ status: 'sent', user_id: 'k-own', text: TEXT });
  expect((await send(keys.other)).json.code).toBe('forbidden');
  const foreign = await callWith(stack, keys.other, 'report', 'GET', `/messages/${json.message_id}`);
  const absent = await callWith(stack, keys.other, 'report', 'GET', `/messages/${id}`);
  expect(foreign.status).toBe(404);
  expect({ ...foreign.json, request_id: '' }).toEqual({ ...absent.json, request_id: '' });
  for (const format of ['', '?format=csv'])
    expect((await callWith(stack, keys.other, 'report', 'GET', `/report/k-own${format}`)).status).toBe(403);
});

test('a batch for another account is refused whole, before any hold', async () => {
  const before = await callWith(stack, keys.other, 'billing', 'GET', '/balance/k-other');
  const refused = await callWith(stack, keys.own, 'gateway', 'POST', '/send/batch', {
    json: { user_id: 'k-other', messages: [{ phone: newPhone('912'), text: 'hello' }] },
  });
  expect(refused.status).toBe(403);
  expect((await callWith(stack, keys.other, 'billing', 'GET', '/balance/k-other')).json).toEqual(before.json);
});

test('the services reach each other: the audit asks the report, a replay goes through the gateway', async () => {
  const phone = newPhone('912');
  stack.simulator.dials('mci', { rules: [{ match: only(phone), outcome: 'transient' }] });
  const { json } = await send(keys.own, { phone });
  expect(await finalOf(keys.own, json.message_id)).toMatchObject({ status: 'failed', attempts: 4 });
  stack.simulator.dials('mci', { rules: [] });
  const path = `/dead-letters/${json.message_id}/replay`;
  const replay = await callWith<{ message_id: string }>(stack, keys.admin, 'report', 'POST', path);
  expect(replay.status).toBe(202);
  expect(await finalOf(keys.own, replay.json.message_id)).toMatchObject({ status: 'sent' });
  await until('the books balance', async () => {
    const audit = await callWith<{ balanced: boolean }>(stack, keys.admin, 'billing', 'GET', '/audit/k-own');
    return audit.json.balanced;
  });
});

test('a revoked key is refused within 5 s at every door, though it was used all the time', async () => {
  const key = await makeKey(redisUrl(), '--user', 'k-own', '--scope', 'send,report');
  const doors = [
    ['billing', '/balance/k-own'],
    ['gateway', '/balance/k-own'],
    ['report', '/report/k-own'],
  ] as const;
  for (const [service, path] of doors) expect((await callWith(stack, key, service, 'GET', path)).status).toBe(200);
  expect(await runKeys(redisUrl(), ['revoke', key.slice(5, 21)])).toMatchObject({ code: 0 });
  const revokedAt = performance.now();
  await Promise.all(
    doors.map(([service, path]) =>
      until(`${service} refuses it`, async () => (await callWith(stack, key, service, 'GET', path)).status === 401),
    ),
  );
  expect(performance.now() - revokedAt).toBeLessThan(5_000);
});

test('a key ends at its expiry, and works only from where it is allowed', async () => {
  const at = Date.now() + 3_000;
  const soon = await makeKey(redisUrl(), '--user', 'k-own', '--scope', 'send', '--expires', new Date(at).toISOString());
  const balance = (key: string) => callWith(stack, key, 'gateway', 'GET', '/balance/k-own');
  expect((await balance(soon)).status).toBe(200);
  await until('it has expired', async () => (await balance(soon)).status === 401);
  expect(Date.now()).toBeGreaterThanOrEqual(at);
  const far = await makeKey(redisUrl(), '--user', 'k-own', '--scope', 'send', '--allow', '10.0.0.0/8,192.0.2.7');
  const near = await makeKey(redisUrl(), '--user', 'k-own', '--scope', 'send', '--allow', '127.0.0.0/8');
  expect((await balance(far)).json).toMatchObject({ status: 403, code: 'forbidden' });
  expect((await balance(near)).status).toBe(200);
});

test('billing’s gRPC door is closed to a gateway with another key, which says so and does not start', async () => {
  await stack.stop('gateway');
  const started = stack.restart('gateway', { INTERNAL_KEY: 'another-key-0123456789-0123456789-0123' });
  expect(await started.catch((thrown: Error) => thrown.message)).toMatch(/INTERNAL_KEY: billing at .* has another one/);
  await stack.restart('gateway');
  expect((await send(keys.own)).status).toBe(202);
});

test('no text, no whole number and no key is in any log, whatever became of the message', async () => {
  const phones: string[] = [];
  const fate = async (outcome: string | null): Promise<void> => {
    const phone = newPhone('912');
    phones.push(phone);
    if (outcome !== null) stack.simulator.dials('mci', { rules: [{ match: only(phone), outcome: outcome as never }] });
    const { json } = await send(keys.own, { phone });
    await finalOf(keys.own, json.message_id);
  };
  for (const outcome of [null, 'reject', 'transient', 'silent', 'disconnect_after', 'wrong_network'])
    await fate(outcome);
  stack.simulator.dials('mci', { rules: [] });
  await callWith(stack, keys.own, 'gateway', 'POST', '/send', {
    body: `{"phone":"${phones[0]}","text":"${TEXT}"`,
    headers: { 'content-type': 'application/json' },
  });
  await send(keys.own, { phone: `${phones[0]}0` });
  await send(keys.own, { text: `${TEXT} \0` });
  await callWith(stack, keys.own, 'report', 'GET', `/report/k-own?phone=${phones[0]}`);
  await callWith(stack, keys.admin, 'dispatcher', 'PUT', `/ported-numbers/${phones[0]}`, { json: { operator: 'MTN' } });
  await callWith(stack, keys.admin, 'dispatcher', 'POST', '/receipts/MCI', { json: { id: TEXT, status: 'delivered' } });
  await send(`${keys.own.slice(0, -1)}0`);
  for (const service of SERVICES) await stack.stop(service);

  const folder = join(stack.dir, 'logs');
  const logs = readdirSync(folder).filter((name) => SERVICES.some((service) => name.startsWith(service)));
  expect(logs.length).toBeGreaterThanOrEqual(SERVICES.length);
  const secrets = [
    TEXT,
    JSON.stringify(TEXT).slice(1, -1),
    encodeURIComponent(TEXT),
    INTERNAL_KEY,
    ...Object.values(keys).map((key) => key.slice(22)),
    ...phones.map((phone) => phone.slice(1)),
  ];
  let size = 0;
  for (const name of logs) {
    const log = readFileSync(join(folder, name), 'utf8');
    size += log.length;
    for (const secret of secrets) {
      const at = log.indexOf(secret);
      expect(`${name}: ${at < 0 ? 'clean' : log.slice(Math.max(0, at - 300), at + 100)}`).toBe(`${name}: clean`);
    }
  }
  // The search is only worth something where there is something to search.
  expect(size).toBeGreaterThan(2_000);
  expect(stack.logs('dispatcher').some(({ event }) => event === 'not_accepted')).toBe(true);
  expect(stack.logs('gateway').some(({ event }) => event === 'key_refused')).toBe(true);
});
