/** billing's gRPC door under bytes that no client of ours writes: an answer each time, and the door goes on. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { connect } from 'node:http2';
import fc from 'fast-check';
import type { BillingMethod } from '../../shared/billing.ts';
import { type BillingServer, connectBilling, serveBilling } from '../../shared/grpc.ts';
import { createLog } from '../../shared/log.ts';

setDefaultTimeout(60_000);
const METHODS: readonly BillingMethod[] = ['Hold', 'Claim', 'Settle', 'Relay', 'GetBalance'];
const OK = '0';
const UNKNOWN_METHOD = '12';
let server: BillingServer;
let handled = 0;
let logged = '';

beforeAll(async () => {
  const balance = { available: 1, held: 2, posted: 3, topped_up: 6, open_holds: 0 };
  // A message that decodes by chance comes here, and is answered as one without any items would be.
  const empty = async () => {
    handled += 1;
    return { groups: [], results: [], items: [], entries: [] };
  };
  const handlers = { Hold: empty, Claim: empty, Settle: empty, Relay: empty, GetBalance: async () => balance };
  const log = createLog('test', 'debug', (line) => {
    logged += line;
  });
  server = await serveBilling(handlers as never, '127.0.0.1', 0, log);
});
afterAll(() => server.close());

/** One call as bytes; answers the gRPC status, or the fault of the stream. */
function callRaw(path: string, body: Uint8Array, headers: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve) => {
    const session = connect(`http://127.0.0.1:${server.port}`);
    let status = '';
    const done = (answer: string): void => {
      session.destroy();
      resolve(answer);
    };
    session.on('error', (error) => done(`session: ${error.message}`));
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const read = (found: Record<string, unknown>): void => {
      if (found['grpc-status'] !== undefined) status = String(found['grpc-status']);
      else if (found[':status'] !== undefined && found[':status'] !== 200) status = `http ${found[':status']}`;
    };
    stream.on('response', read);
    stream.on('trailers', read);
    stream.on('error', () => undefined);
    stream.on('data', () => undefined);
    stream.on('close', () => done(status));
    stream.setTimeout(5_000, () => done('nobody answered'));
    stream.end(Buffer.from(body));
  });
}

const framed = (bytes: Uint8Array, flag = 0, length = bytes.length): Uint8Array => {
  const frame = Buffer.alloc(5 + bytes.length);
  frame.writeUInt8(flag, 0);
  frame.writeUInt32BE(length, 1);
  frame.set(bytes, 5);
  return frame;
};

async function stillServes(): Promise<void> {
  const client = connectBilling(`127.0.0.1:${server.port}`);
  try {
    expect((await client.call('GetBalance', { user_id: '123' }, 5_000)).topped_up).toBe(6);
  } finally {
    client.close();
  }
}

test('random bytes as a message are refused or are a message: never silence, never the end of the door', async () => {
  const answers = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...METHODS),
      fc.uint8Array({ minLength: 1, maxLength: 200 }),
      async (method, bytes) => {
        const answer = await callRaw(`/jsms.billing.v1.Billing/${method}`, framed(bytes));
        answers.set(answer, (answers.get(answer) ?? 0) + 1);
        expect(answer).toMatch(/^\d+$/);
      },
    ),
    { numRuns: 300 },
  );
  expect([...answers.keys()].some((answer) => answer !== OK)).toBe(true);
  expect(handled).toBeLessThan(300);
  await stillServes();
});

test('frames that lie about their length, and bytes that are no frame, end in a status', async () => {
  const path = '/jsms.billing.v1.Billing/Hold';
  for (const [what, body] of [
    ['nothing', new Uint8Array()],
    ['a frame cut short', framed(new Uint8Array([10, 2, 8]), 0, 1_000)],
    ['a frame above the bound', framed(new Uint8Array([1]), 0, 0xffffffff)],
    ['a compressed frame that nobody compressed', framed(new Uint8Array([1, 2, 3]), 1)],
    ['a flag that there is not', framed(new Uint8Array([1, 2, 3]), 9)],
    ['half a header', new Uint8Array([0, 0])],
    ['two messages', Buffer.concat([framed(new Uint8Array()), framed(new Uint8Array())])],
  ] as const) {
    const answer = await callRaw(path, body);
    expect([what, /^\d+$/.test(answer) || answer === '']).toEqual([what, true]);
    expect([what, answer === 'nobody answered']).toEqual([what, false]);
  }
  expect(await callRaw('/jsms.billing.v1.Billing/Steal', framed(new Uint8Array()))).toBe(UNKNOWN_METHOD);
  expect(await callRaw('/../etc/passwd', framed(new Uint8Array()))).toBe(UNKNOWN_METHOD);
  expect(await callRaw(path, framed(new Uint8Array()), { 'content-type': 'text/plain' })).toBe('http 415');
  await stillServes();
});

test('none of it is repeated in the log', () => {
  expect(logged.includes('passwd')).toBe(false);
  expect(logged.split('\n').every((line) => line.length < 2_000)).toBe(true);
});
