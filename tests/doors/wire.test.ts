/** What every HTTP door does with clients that are slow, idle, or write what no client of HTTP would. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { Type } from '@sinclair/typebox';
import { jsonBody } from '../../shared/body.ts';
import { createDoor, listen } from '../../shared/http.ts';
import { createLog } from '../../shared/log.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { documented, UserId } from '../../shared/openapi.ts';
import type { Server } from '../../shared/runtime.ts';
import { drip, openWire, type Wire } from './wire.ts';

setDefaultTimeout(40_000);

const IDLE_S = 4;
/** Bun closes what sent no whole headers after 10 s, and looks every four. */
const HEADERS_WITHIN_MS = 20_000;
const seen: string[] = [];
let server: Server;

beforeAll(() => {
  const log = createLog('test', 'error', () => undefined);
  const door = createDoor({
    ...{ service: 'test', title: 'test', description: 'test', log, metrics: createMetrics('test') },
    health: () => ({ ready: true, checks: {} }),
  })
    .post('/take', ({ body }) => ({ took: body.text.length }), {
      ...jsonBody,
      body: Type.Object({ text: Type.String() }, { additionalProperties: false }),
      detail: documented('test', 'takes a text', {}),
    })
    .get(
      '/of/:user_id',
      ({ params }) => {
        seen.push(params.user_id);
        return { user_id: params.user_id };
      },
      { params: Type.Object({ user_id: UserId }), detail: documented('test', 'of an account', {}) },
    );
  server = listen(door, '127.0.0.1', 0, 'PORT', { idleS: IDLE_S });
});
afterAll(() => server.stop());

const open = (): Promise<Wire> => openWire(server.port);
const HEAD = 'POST /take HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
const live = async (): Promise<number> => {
  const since = performance.now();
  const answer = await fetch(`http://127.0.0.1:${server.port}/health/live`);
  expect(answer.status).toBe(200);
  return performance.now() - since;
};
/** Writes it all and answers the status of each answer that came until the connection closed or fell silent. */
async function statuses(raw: string | Uint8Array): Promise<number[]> {
  const wire = await open();
  wire.write(raw);
  await wire.closed(700);
  wire.end();
  return [...wire.got.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
}

test('headers and bodies that come a byte at a time, or stop, end in a closed connection; others are served meanwhile', async () => {
  const crowd = await Promise.all(Array.from({ length: 300 }, open));
  for (const wire of crowd) wire.write(HEAD);
  const slowHeaders = await open();
  drip(slowHeaders, `GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: ${'a'.repeat(4_000)}`, 100);
  const slowBody = await open();
  slowBody.write(`${HEAD}Content-Length: 4000\r\n\r\n`);
  drip(slowBody, `{"text":"${'a'.repeat(3_989)}"}`, 100);
  const stopped = await open();
  stopped.write(`${HEAD}Content-Length: 4000\r\n\r\n{"text":`);
  const silent = await open();

  const waits: number[] = [];
  for (let n = 0; n < 20; n++) waits.push(await live());
  expect(Math.max(...waits)).toBeLessThan(1_000);
  const ends = await Promise.all(
    [slowHeaders, slowBody, stopped, silent, ...crowd].map((wire) => wire.closed(HEADERS_WITHIN_MS)),
  );
  expect(ends.filter((end) => end === null)).toEqual([]);
  for (const wire of [slowHeaders, slowBody, stopped]) expect(wire.got).not.toMatch(/HTTP\/1\.1 2/);
  expect(ends[1]).toBeLessThan((IDLE_S + 6) * 1_000);
  expect(ends[2]).toBeLessThan((IDLE_S + 6) * 1_000);
});

test('a kept connection on which nothing more is asked is closed', async () => {
  const wire = await open();
  wire.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n');
  await wire.until(/\r\n\r\n.*live/s, 2_000);
  expect(await wire.closed((IDLE_S + 6) * 1_000)).not.toBeNull();
});

test('a request in which another one is hidden is refused, and the hidden one is not answered', async () => {
  const hidden = 'GET /of/hidden HTTP/1.1\r\nHost: x\r\n\r\n';
  const smuggled = [
    `${HEAD}Content-Length: ${hidden.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    `${HEAD}Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}${hidden}`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n2;x=\r\n{}\r\n-1\r\n${hidden}`,
    `${HEAD}Content-Length: +2\r\n\r\n{}${hidden}`,
    `${HEAD}Content-Length: -1\r\n\r\n${hidden}`,
    `${HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${hidden}`,
  ];
  const taken: string[] = [];
  for (const raw of smuggled) {
    seen.length = 0;
    const found = await statuses(raw);
    if (found.some((status) => status < 400 || status >= 500) || seen.length > 0) taken.push(`${found}: ${raw}`);
  }
  expect(taken).toEqual([]);
});

test('lines that do not belong into a header are refused or stay what they are: none reaches an answer', async () => {
  const get = (headers: string, path = '/health/live'): string =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n`;
  for (const raw of [
    get('X-Request-Id: a\rSet-Cookie: b=1'),
    get('X-Request-Id: a\nSet-Cookie: b=1'),
    get('X-Request-Id: a\r\n Set-Cookie: b=1'),
    get('X-Request-Id: a\0b'),
    get('X-Request-Id: <script>alert(1)</script>'),
    get('X-Request-Id: x', '/of/a%0d%0aSet-Cookie:%20b=1'),
    get('X-Request-Id: x', '/of/a\u0000b'),
    get('X-Request-Id: x', '/nothing%0d%0aSet-Cookie:%20b=1'),
    get('X-Forwarded-For: 127.0.0.1\r\nX-Request-Id: x', '/of/%c0%ae%c0%ae'),
  ]) {
    const wire = await open();
    wire.write(raw);
    await wire.until(/HTTP\/1\.1 \d{3}/, 3_000).catch(() => undefined);
    expect([raw, /set-cookie|<script>/i.test(wire.got), /HTTP\/1\.1 50[0-4]/.test(wire.got)]).toEqual([
      raw,
      false,
      false,
    ]);
    wire.end();
  }
});

test('a path leads to no file: neither above the page’s folder nor beside it', async () => {
  for (const file of [
    '../package.json',
    '..%2f..%2fpackage.json',
    '%2e%2e/%2e%2e/etc/passwd',
    'index.html',
    'constructor',
  ])
    for (const at of [`/swagger/${file}`, `/${file}`]) {
      expect([at, (await statuses(`GET ${at} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).join()]).toEqual([
        at,
        '404',
      ]);
    }
});

test('headers without an end, and more of them than anybody needs, are refused with 431 and bounded', async () => {
  const many = `GET /health/live HTTP/1.1\r\nHost: x\r\n${Array.from({ length: 2_000 }, (_, n) => `X-${n}: ${'a'.repeat(50)}\r\n`).join('')}\r\n`;
  const long = `GET /health/live HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(200_000)}`;
  for (const raw of [many, long]) {
    const found = await statuses(raw);
    expect(found.every((status) => status === 431 || status === 400)).toBe(true);
  }
  expect(await live()).toBeLessThan(1_000);
});
