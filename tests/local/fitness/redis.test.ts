import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { readAnswer, redisFitness } from '../../../local/fitness/redis.ts';
import { freePort } from '../../../local/ports.ts';
import { endWithProcess, temporaryDir } from '../../../local/servers/all.ts';
import { startRedis } from '../../../local/servers/redis.ts';
import type { LocalServer } from '../../../local/servers/server-process.ts';

setDefaultTimeout(30_000);

const dir = temporaryDir();
let redis: LocalServer;

beforeAll(async () => {
  endWithProcess(dir);
  redis = await startRedis({ dir, password: 'a "secret' });
});

afterAll(async () => {
  await redis.stop();
  rmSync(dir, { recursive: true, force: true });
});

const set = (name: string, value: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: redis.port });
    let got = '';
    socket.on('data', (chunk) => {
      got += chunk;
      if (got !== '+OK\r\n+OK\r\n') return;
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
    socket.write(`AUTH "a \\"secret"\r\nCONFIG SET ${name} ${value}\r\n`);
  });

test('a Redis of ours is fit, password included', async () => {
  expect(await redisFitness(redis.address)).toEqual({ state: 'fit' });
});

test.each([
  ['appendfsync', 'everysec', 'always'],
  ['appendonly', 'no', 'yes'],
  ['maxmemory-policy', 'allkeys-lru', 'noeviction'],
])('a Redis with %s %s is refused with what is wrong and how to mend it', async (name, bad, good) => {
  await set(name, bad);
  const fitness = await redisFitness(redis.address);
  expect(fitness.state).toBe('unfit');
  expect(fitness).toHaveProperty('reason', expect.stringContaining(`${name} is "${bad}" and must be "${good}"`));
  expect(fitness).toHaveProperty('reason', expect.stringContaining(`CONFIG SET ${name} ${good}`));
  await set(name, good);
  expect(await redisFitness(redis.address)).toEqual({ state: 'fit' });
});

test('a Redis that wants a password says so, and the password is not in the sentence', async () => {
  const fitness = await redisFitness(`redis://127.0.0.1:${redis.port}`);
  expect(fitness).toHaveProperty('reason', expect.stringContaining('put its login into REDIS_URL'));
  const wrong = await redisFitness(`redis://:hunter2@127.0.0.1:${redis.port}`);
  expect(wrong.state).toBe('unfit');
  expect(JSON.stringify(wrong)).not.toContain('hunter2');
});

test('nobody there is absent, and a web server there is no Redis', async () => {
  expect(await redisFitness(`redis://127.0.0.1:${await freePort()}`)).toEqual({ state: 'absent' });
  const web = createHttpServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
  await new Promise((resolve) => web.once('listening', resolve));
  const fitness = await redisFitness(`redis://127.0.0.1:${(web.address() as AddressInfo).port}`);
  web.close();
  expect(fitness).toHaveProperty('reason', expect.stringContaining('is no Redis that can be used'));
});

test('what listens and never answers does not hold the start', async () => {
  const deaf = createServer(() => undefined).listen(0, '127.0.0.1');
  await new Promise((resolve) => deaf.once('listening', resolve));
  const fitness = await redisFitness(`redis://127.0.0.1:${(deaf.address() as AddressInfo).port}`, 100);
  deaf.close();
  expect(fitness.state).toBe('starting');
});

test('an answer that came in parts is read when it is whole', () => {
  const whole = '*2\r\n$3\r\nkey\r\n*2\r\n:7\r\n$-1\r\n';
  for (let length = 0; length < whole.length; length++) expect(readAnswer(whole.slice(0, length))).toBeNull();
  expect(readAnswer(whole)).toEqual({ answer: ['key', [7, null]], end: whole.length });
});
