import { expect, test } from 'bun:test';
import { createServer } from 'node:net';
import { freePort, isListening } from '../../local/ports.ts';

test('a free port is one on which nobody listens, and is given once', async () => {
  const ports = await Promise.all(Array.from({ length: 50 }, () => freePort()));
  expect(new Set(ports).size).toBe(50);
  for (const port of ports.slice(0, 5)) expect(await isListening('127.0.0.1', port)).toBe(false);
});

test('a free port lies below the ports that the system gives to outgoing connections', async () => {
  expect(await freePort()).toBeLessThan(32_768);
});

test('a listener is seen, and seen no more when it has closed', async () => {
  const server = createServer();
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  expect(await isListening('127.0.0.1', port)).toBe(true);
  await new Promise((resolve) => server.close(resolve));
  expect(await isListening('127.0.0.1', port)).toBe(false);
});
