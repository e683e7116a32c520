import { afterEach, expect, test } from 'bun:test';
import { createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../../local/ports.ts';
import type { HoldReply, HoldRequest } from '../../shared/billing.ts';
import { AppError } from '../../shared/error.ts';
import { type BillingClient, type BillingHandlers, connectBilling, serveBilling } from '../../shared/grpc.ts';
import { quiet } from '../billing/own-redis.ts';
import { until } from '../support/poll.ts';
import { startProxy } from '../support/proxy.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (let close = closers.pop(); close; close = closers.pop()) await close();
});

const EMPTY: HoldRequest = { groups: [], produced: [] };
const never = () => new Promise<never>(() => undefined);
const handlers = (some: Partial<BillingHandlers>): BillingHandlers => ({
  Hold: async () => ({ groups: [] }),
  Claim: never,
  Settle: never,
  Relay: never,
  GetBalance: never,
  ...some,
});

async function serve(some: Partial<BillingHandlers>, port = 0) {
  const server = await serveBilling(handlers(some), '127.0.0.1', port, quiet);
  closers.push(() => server.close());
  return server;
}
function client(port: number): BillingClient {
  const made = connectBilling(`127.0.0.1:${port}`);
  closers.push(() => made.close());
  return made;
}
const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'answered',
    (thrown: AppError) => thrown.code,
  );

test('a server that takes the connection and stays silent costs the deadline and not a second more', async () => {
  const sockets: Socket[] = [];
  const silent: Server = createServer((socket) => void sockets.push(socket));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const billing = client((silent.address() as { port: number }).port);
  const startedAt = performance.now();
  const code = await codeOf(billing.call('Hold', EMPTY, 300));
  expect(['outcome_unknown', 'unavailable']).toContain(code);
  expect(performance.now() - startedAt).toBeLessThan(1_500);
});

test('a handler that never answers costs the deadline: the outcome is unknown', async () => {
  const { port } = await serve({ Hold: never });
  const startedAt = performance.now();
  expect(await codeOf(client(port).call('Hold', EMPTY, 300))).toBe('outcome_unknown');
  expect(performance.now() - startedAt).toBeLessThan(1_500);
}, 15_000);

test('nobody listens: nothing was sent, so it is unavailable', async () => {
  const billing = client(await freePort());
  for (const _ of [1, 2, 3]) expect(await codeOf(billing.call('Hold', EMPTY, 1_000))).toBe('unavailable');
});

test('an answer that is lost on its way is an unknown outcome, though the call was carried out', async () => {
  let calls = 0;
  const { port } = await serve({
    Hold: async () => {
      calls += 1;
      return { groups: [] };
    },
  });
  const proxy = await startProxy(port);
  closers.push(() => proxy.close());
  const billing = client(proxy.port);
  await billing.call('Hold', EMPTY, 2_000);
  proxy.swallow = true;
  const lost = codeOf(billing.call('Hold', EMPTY, 5_000));
  await until('the call was carried out', () => calls === 2);
  proxy.refuse = true;
  proxy.cut();
  expect(await lost).toBe('outcome_unknown');
  // It is not sent again behind our back, neither now nor once the server is back.
  proxy.refuse = false;
  proxy.swallow = false;
  await until(
    'the client is connected again',
    async () => (await codeOf(billing.call('Hold', EMPTY, 1_000))) === 'answered',
  );
  expect(calls).toBe(3);
});

test('a server that dies with a call in its hands leaves an unknown outcome, not a refused one', async () => {
  const arrived = Promise.withResolvers<void>();
  const Hold = () => {
    arrived.resolve();
    return never();
  };
  const { port } = await serve({ Hold });
  const proxy = await startProxy(port);
  const lost = codeOf(client(proxy.port).call('Hold', EMPTY, 5_000));
  await arrived.promise;
  // From here on connections are refused, as after a kill.
  await proxy.close();
  expect(await lost).toBe('outcome_unknown');
}, 15_000);

test('a server that is gone is unavailable, and the calls work again once it is back', async () => {
  const port = await freePort();
  const first = await serveBilling(handlers({}), '127.0.0.1', port, quiet);
  const billing = client(port);
  expect(await codeOf(billing.call('Hold', EMPTY, 1_000))).toBe('answered');
  await first.close();
  await until(
    'the client has noticed',
    async () => (await codeOf(billing.call('Hold', EMPTY, 1_000))) === 'unavailable',
  );
  await serve({}, port);
  await until('the calls work again', async () => (await codeOf(billing.call('Hold', EMPTY, 1_000))) === 'answered');
});

test("a refusal keeps its meaning: unavailable is unavailable, a caller's fault is ours, anything else is unknown", async () => {
  let thrown: Error = new Error('x');
  const { port } = await serve({ Hold: () => Promise.reject(thrown) });
  const billing = client(port);
  const told = async (error: Error) => {
    thrown = error;
    return codeOf(billing.call('Hold', EMPTY, 1_000));
  };
  expect(await told(new AppError('unavailable', 'full'))).toBe('unavailable');
  expect(await told(new AppError('invalid_request', 'no'))).toBe('internal');
  expect(await told(new AppError('outcome_unknown', 'late'))).toBe('outcome_unknown');
  expect(await told(new TypeError('a fault of ours'))).toBe('outcome_unknown');
});

test('a batch of a thousand long messages passes, with 64-bit amounts as they were', async () => {
  let got: HoldRequest = EMPTY;
  const reply: HoldReply = {
    groups: [{ outcome: 1, codes: [0, 1, 2], answers: ['ا', ''], batch_id: 'b', open: 4_000_000_000, refused: 'پ' }],
  };
  const { port } = await serve({
    Hold: async (request) => {
      got = request;
      return reply;
    },
  });
  const item = {
    message_id: 'm',
    price: Number.MAX_SAFE_INTEGER,
    valid_until: 1_900_000_000_000,
    event: Buffer.from('پ'.repeat(3_000)),
    answer: '',
  };
  const group = {
    user_id: 'a',
    idempotency_key: 'k',
    body_hash: 'h',
    batch_id: '',
    refused: '',
    items: Array(1_000).fill(item),
  };
  const answer = await client(port).call(
    'Hold',
    { groups: [group], produced: [{ user_id: 'a', message_id: 'm' }] },
    10_000,
  );
  expect(answer).toEqual(reply);
  expect(got.groups[0]?.items).toHaveLength(1_000);
  expect(got.groups[0]?.items[999]).toEqual(item);
});

test('a closing server lets the calls in flight finish', async () => {
  const arrived = Promise.withResolvers<void>();
  const finished = Promise.withResolvers<HoldReply>();
  const Hold = () => {
    arrived.resolve();
    return finished.promise;
  };
  const server = await serveBilling(handlers({ Hold }), '127.0.0.1', 0, quiet);
  const inFlight = client(server.port).call('Hold', EMPTY, 5_000);
  await arrived.promise;
  const closed = server.close();
  finished.resolve({ groups: [] });
  expect(await inFlight).toEqual({ groups: [] });
  await closed;
});

test('a taken port is one sentence that names the setting', async () => {
  const { port } = await serve({});
  const refused = await serveBilling(handlers({}), '127.0.0.1', port, quiet).catch((thrown: Error) => thrown);
  expect((refused as Error).message).toBe(
    `127.0.0.1:${port} cannot be listened on (is it taken?); set BILLING_GRPC_PORT to a free port`,
  );
});
