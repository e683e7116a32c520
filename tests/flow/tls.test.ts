import { beforeAll, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchTrusting } from '../../shared/runtime.ts';
import { openWire } from '../doors/wire.ts';
import type { Audit, Message, Page } from '../support/api.ts';
import { AUTHORITY } from '../support/certificates.ts';
import { AUTH_ENV, makeKey } from '../support/keys.ts';
import { until } from '../support/poll.ts';
import { SERVICES, type ServiceName } from '../support/stack.ts';
import { useStack } from '../support/use-stack.ts';

/** All doors with TLS, gRPC too, and keys required: the product as it faces a network. */
const stack = useStack({ tls: true, env: { ...AUTH_ENV } });
const trusting = fetchTrusting(AUTHORITY);
const keys = { admin: '', customer: '' };
const CLOSED_WITHIN_MS = 15_000;
const TEXT = 'کد تایید: 1234';

type Answer<T> = { status: number; json: T };
async function call<T>(key: string, service: ServiceName, method: string, path: string, json?: unknown) {
  const response = await trusting(stack.urls[service] + path, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(json === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
  });
  return { status: response.status, json: (await response.json()) as T } satisfies Answer<T>;
}

beforeAll(async () => {
  const redis = stack.servers.redis.address;
  keys.admin = await makeKey(redis, '--scope', 'admin');
  keys.customer = await makeKey(redis, '--user', '123', '--scope', 'send,report');
});

test('the three calls of the README work by TLS and with keys, and the books balance', async () => {
  const charged = await call<{ available: number }>(keys.admin, 'billing', 'POST', '/charge/123?amount=123456');
  expect([charged.status, charged.json.available]).toEqual([200, 123_456]);
  const body = { phone: '09121234567', text: TEXT, type: 'express', user_id: '123' };
  const sent = await call<{ message_id: string; price: number }>(keys.customer, 'gateway', 'POST', '/send', body);
  expect(sent.status).toBe(202);
  await until('the report shows it as sent', async () => {
    const { json } = await call<Page>(keys.customer, 'report', 'GET', '/report/123');
    return json.items.some(({ message_id, status }) => message_id === sent.json.message_id && status === 'sent');
  });
  const { json: message } = await call<Message>(keys.customer, 'report', 'GET', `/messages/${sent.json.message_id}`);
  expect(message.text).toBe(TEXT);
  // The audit asks the report by HTTPS, with the key of the services.
  const audit = await until('the books balance', async () => {
    const { json } = await call<Audit>(keys.admin, 'billing', 'GET', '/audit/123');
    return json.postgres !== null && json.balanced && json.postgres.posted === sent.json.price ? json : null;
  });
  expect(audit.redis).toMatchObject({ topped_up: 123_456, posted: sent.json.price, open_holds: 0 });
  // So does a dead letter's replay with the gateway: none is there, and it is the report that says so.
  const path = '/dead-letters/0193a5c8-7c11-7d3e-9f00-5a1b2c3d4e5f/replay';
  expect((await call(keys.admin, 'report', 'POST', path)).status).toBe(404);
});

test('without a key, without trust and without TLS nothing is answered', async () => {
  for (const service of SERVICES) {
    expect((await trusting(`${stack.urls[service]}/metrics`)).status).toBe(401);
    await expect(fetch(`${stack.urls[service]}/health/live`)).rejects.toThrow(/certificate/i);
  }
  const ports = [
    ...SERVICES.map((service) => Number(new URL(stack.urls[service]).port)),
    Number(stack.settings.BILLING_GRPC_PORT),
  ];
  for (const port of ports) {
    const plain = await openWire(port);
    plain.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n');
    expect([port, await plain.closed(CLOSED_WITHIN_MS)]).not.toEqual([port, null]);
    expect([port, /HTTP|live/.test(plain.got)]).toEqual([port, false]);
  }
});

test('what went over TLS stands in no log', () => {
  for (const service of SERVICES) {
    const log = readFileSync(join(stack.dir, 'logs', `${service}.log`), 'utf8');
    expect(log.length).toBeGreaterThan(50);
    for (const secret of [TEXT, '9121234567', keys.admin.slice(22), keys.customer.slice(22), 'PRIVATE KEY'])
      expect([service, secret, log.includes(secret)]).toEqual([service, secret, false]);
  }
});
