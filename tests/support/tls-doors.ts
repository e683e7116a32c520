/**
 * A program for tests, run under either runtime: an HTTP door and a gRPC door that speak TLS and ask for the services' key. Prints
 * their ports and what it saw when it called them itself, as one line of JSON; ends when its input ends.
 */
import { createGuard } from '../../shared/auth.ts';
import { internalFetch } from '../../shared/credentials.ts';
import { connectBilling, serveBilling } from '../../shared/grpc.ts';
import { createDoor, listen } from '../../shared/http.ts';
import { createKeyCache } from '../../shared/key-cache.ts';
import { createLog } from '../../shared/log.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { AUTHORITY, OWN, STRANGER } from './certificates.ts';
import { INTERNAL_KEY } from './keys.ts';

const log = createLog('test', 'error');
const metrics = createMetrics('test');
/** `stranger`: the certificate is for another host. */
const stranger = process.argv[2] === 'stranger';
const tls = stranger ? STRANGER : OWN;
const credentials = { required: true, internalKeys: [INTERNAL_KEY], tls, ca: AUTHORITY, trusted: null };
const guard = createGuard({ access: {}, credentials, keys: createKeyCache(async () => null), log, metrics });
const health = () => ({ ready: true, checks: {} });
const door = createDoor({
  service: 'test',
  title: 'test',
  description: 'test',
  log,
  metrics,
  health,
  guard,
  secure: true,
});
const http = listen(
  door.get('/who', () => 'one of us'),
  '127.0.0.1',
  0,
  'PORT',
  { guard, tls },
);

const balance = { available: 1, held: 2, posted: 3, topped_up: 6, open_holds: 0 };
const never = () => Promise.reject(new Error('not asked for'));
const handlers = { Hold: never, Claim: never, Settle: never, Relay: never, GetBalance: async () => balance };
const grpc = await serveBilling(handlers as never, '127.0.0.1', 0, log, credentials);

const seen = async (work: () => Promise<unknown>): Promise<unknown> =>
  work().catch((thrown: Error & { code?: string }) => `${thrown.name}: ${thrown.code ?? thrown.message}`);
const url = `https://127.0.0.1:${http.port}/who`;
type Access = Parameters<typeof connectBilling>[1];
/** What must fail is given little time: a connection that is refused is tried again until then. */
const asking = async (address: string, access: Access, waitMs = 700): Promise<unknown> => {
  const client = connectBilling(address, access);
  try {
    await client.ready(waitMs);
    return { ...(await client.call('GetBalance', { user_id: '123' }, 2_000)) };
  } finally {
    client.close();
  }
};
const place = `127.0.0.1:${grpc.port}`;
const enoughMs = stranger ? 1_000 : 10_000;
const self = {
  http: await seen(async () => (await internalFetch(credentials)(url)).text()),
  httpDistrusted: await seen(async () => (await internalFetch({ ...credentials, ca: null })(url)).text()),
  grpc: await seen(() => asking(`grpcs://${place}`, credentials, enoughMs)),
  grpcDistrusted: await seen(() => asking(`grpcs://${place}`, { ...credentials, ca: null })),
  grpcPlain: await seen(() => asking(place, credentials)),
  grpcOtherKey: await seen(() =>
    asking(`grpcs://${place}`, { ...credentials, internalKeys: ['x'.repeat(40)] }, enoughMs),
  ),
};
process.stdout.write(`${JSON.stringify({ http: http.port, grpc: grpc.port, self })}\n`);
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
