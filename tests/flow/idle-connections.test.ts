import { expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { openWire, type Wire } from '../doors/wire.ts';
import { SERVICES, type ServiceName } from '../support/stack.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

/** 10,000 were measured (docs/RELIABILITY.md); the suite asks for fewer, since the connections of both ends count for it. */
const CONNECTIONS = Number(process.env.JSMS_IDLE_CONNECTIONS ?? 1_000);
const OPENED_AT_ONCE = 250;
/** What one idle connection may keep in the service's memory. */
const BYTES_EACH_MAX = 40 * 1024;
const NOISE_BYTES = 48 * 1024 * 1024;
const ANSWERED_WITHIN_MS = 1_000;

const memoryOf = (service: ServiceName): number => {
  const pid = stack.pidOf(service);
  if (process.platform !== 'linux') return 1_024 * Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)]));
  return 1_024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
};

async function crowd(service: ServiceName): Promise<Wire[]> {
  const port = Number(new URL(stack.urls[service]).port);
  const wires: Wire[] = [];
  while (wires.length < CONNECTIONS) {
    const some = await Promise.all(
      Array.from({ length: Math.min(OPENED_AT_ONCE, CONNECTIONS - wires.length) }, () => openWire(port)),
    );
    // Kept alive after an answer: what has not asked yet is closed by the runtime within seconds.
    for (const wire of some) wire.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n');
    await Promise.all(some.map((wire) => wire.until(/"live"/, 20_000)));
    wires.push(...some);
  }
  return wires;
}

for (const service of SERVICES) {
  test(`${CONNECTIONS} idle connections at ${service} are kept in bounded memory, and others are answered as before`, async () => {
    const before = memoryOf(service);
    const wires = await crowd(service);
    expect(wires.filter(({ socket }) => socket.destroyed)).toEqual([]);
    const waits: number[] = [];
    for (let n = 0; n < 20; n++) {
      const since = performance.now();
      const answer = await stack.call(service, 'GET', '/health/ready', { timeoutMs: 10_000 });
      waits.push(performance.now() - since);
      expect(answer.status).toBe(200);
    }
    const grown = memoryOf(service) - before;
    for (const wire of wires) wire.end();
    process.stdout.write(
      `${service}: ${CONNECTIONS} idle connections, ${Math.round(grown / CONNECTIONS / 1_024)} KB each, answers within ${Math.round(Math.max(...waits))} ms\n`,
    );
    expect(Math.max(...waits)).toBeLessThan(ANSWERED_WITHIN_MS);
    expect(grown).toBeLessThan(CONNECTIONS * BYTES_EACH_MAX + NOISE_BYTES);
    expect(stack.isAlive(service)).toBe(true);
  });
}

test('after them a message is sent as ever', async () => {
  await stack.charge('patient', 100_000);
  const { message_id } = await stack.send({ phone: '09121234567', user_id: 'patient' });
  expect((await stack.final(message_id)).status).toBe('sent');
});
