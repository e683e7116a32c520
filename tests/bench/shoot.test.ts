import { afterEach, expect, test } from 'bun:test';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { LoadPlan } from '../../bench/load/plan.ts';
import { SERIAL } from '../../bench/load/plan.ts';
import { shoot } from '../../bench/load/shoot.ts';

const servers: { server: Server; sockets: Set<Socket> }[] = [];
afterEach(() => {
  for (const { server, sockets } of servers.splice(0)) {
    server.close();
    for (const socket of sockets) socket.destroy();
  }
});

type Answering = (request: string, count: number, socket: Socket) => string | null;

/** An HTTP server that answers each request with what `answering` says; null leaves it without an answer. */
async function serverThat(answering: Answering): Promise<number> {
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      count += 1;
      const answer = answering(chunk.toString(), count, socket);
      if (answer !== null) socket.write(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push({ server, sockets });
  return (server.address() as AddressInfo).port;
}

const answer = (status: number, body = '{}'): string =>
  `HTTP/1.1 ${status} X\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

const plan = (port: number, change: Partial<LoadPlan> = {}): LoadPlan => ({
  host: '127.0.0.1',
  port,
  shots: [{ request: `GET /${SERIAL} HTTP/1.1\r\n\r\n`, messages: 1, rials: 890 }],
  connections: 4,
  seconds: 20,
  requestsMax: 50,
  ratePerS: 0,
  graceMs: 200,
  serialFrom: 100,
  keepSerials: false,
  ...change,
});

const NEVER = () => false;

test('exactly the requests of the plan are sent, each with a serial of its own, and every 202 is booked', async () => {
  const seen: string[] = [];
  const port = await serverThat((request) => {
    seen.push(request.slice(5, 13));
    return answer(202);
  });
  const result = await shoot(plan(port, { keepSerials: true }), NEVER);
  expect(seen.sort()).toEqual(Array.from({ length: 50 }, (_, i) => String(100 + i).padStart(8, '0')));
  expect(result).toMatchObject({ requests: 50, statuses: { 202: 50 }, lost: 0, accepted: 50, acceptedRials: 50 * 890 });
  expect(result.serials.map(([serial]) => serial).sort()).toEqual(Array.from({ length: 50 }, (_, i) => 100 + i));
});

test('a refusal is counted by its status and is no acceptance', async () => {
  const port = await serverThat((_, count) => answer(count % 5 === 0 ? 503 : 202));
  const result = await shoot(plan(port), NEVER);
  expect(result).toMatchObject({ statuses: { 202: 40, 503: 10 }, accepted: 40, acceptedRials: 40 * 890 });
});

test("a batch counts as many messages as its answer says, at their part of the batch's price", async () => {
  const port = await serverThat(() => answer(202, `{"batch_id":"${'0'.repeat(36)}","accepted":75,"refused":25}`));
  const shots = [{ request: 'POST / HTTP/1.1\r\n\r\n', messages: 100, rials: 89_000 }];
  expect(await shoot(plan(port, { shots, requestsMax: 4 }), NEVER)).toMatchObject({
    accepted: 300,
    acceptedRials: 4 * 66_750,
  });
});

test('an answer that comes in pieces is one answer', async () => {
  const port = await serverThat((_, __, socket) => {
    const whole = answer(202);
    socket.write(whole.slice(0, 30));
    setTimeout(() => socket.write(whole.slice(30)), 5);
    return null;
  });
  expect(await shoot(plan(port, { requestsMax: 8 }), NEVER)).toMatchObject({ statuses: { 202: 8 }, accepted: 8 });
});

test('a request that is larger than a socket takes at once comes whole, again and again', async () => {
  const SIZE = 12 * 1024 * 1024;
  const got = new Map<Socket, number>();
  const port = await serverThat((chunk, _, socket) => {
    const sum = (got.get(socket) ?? 0) + chunk.length;
    got.set(socket, sum % SIZE);
    return sum === SIZE ? answer(202) : null;
  });
  const request = `POST /${SERIAL} HTTP/1.1\r\n\r\n`;
  const shots = [1, 2, 3].map(() => ({ request: request.padEnd(SIZE, '.'), messages: 1, rials: 890 }));
  const result = await shoot(plan(port, { shots, requestsMax: 6, connections: 2, graceMs: 5_000 }), NEVER);
  expect(result).toMatchObject({ accepted: 6, lost: 0 });
});

test('an answer that never comes ends the run after its grace and counts as lost', async () => {
  const port = await serverThat((_, count) => (count === 3 ? null : answer(202)));
  const result = await shoot(plan(port, { requestsMax: 20 }), NEVER);
  expect(result).toMatchObject({ requests: 20, accepted: 19, lost: 1 });
});

test('a connection that is cut counts its request as lost and is replaced', async () => {
  const port = await serverThat((_, count, socket) => {
    if (count !== 5) return answer(202);
    socket.destroy();
    return null;
  });
  expect(await shoot(plan(port, { connections: 1, requestsMax: 20 }), NEVER)).toMatchObject({ accepted: 19, lost: 1 });
});

test('a rate is kept whether answers come quickly or not, and waiting for a connection counts as latency', async () => {
  const port = await serverThat((_, __, socket) => {
    setTimeout(() => socket.write(answer(202)), 50);
    return null;
  });
  const result = await shoot(plan(port, { ratePerS: 200, requestsMax: 60, connections: 2 }), NEVER);
  expect(result).toMatchObject({ requests: 60, accepted: 60, lost: 0 });
  // Two connections and 50 ms an answer carry 40 requests a second: the others wait, and that is told.
  expect(result.waited).toBeGreaterThan(20);
  expect(result.latencyMs.p99).toBeGreaterThan(200);
});
