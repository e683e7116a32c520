/**
 * gRPC: the billing contract from its .proto, a client whose calls always end, and a server that drains. Where keys are
 * required each call shows the services' own key; TLS where billing has a certificate.
 */
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { BillingMethod, BillingMethods } from './billing.ts';
import { billingCodecs, PROTO_FILE, SERVICE } from './billing-codec.ts';
import { ConfigError } from './config.ts';
import type { Tls } from './credentials.ts';
import { AppError, type ErrorCode, toAppError } from './error.ts';
import { hashOf, isSameKey } from './keys.ts';
import { errorFields, type Log } from './log.ts';
import { runtimeName } from './runtime.ts';
import { openTlsFront, type TlsFront } from './tls-front.ts';

// What it would print on stderr as plain text is thrown or logged here as well.
grpc.setLogVerbosity(grpc.logVerbosity.NONE);

/** A batch of 1,000 messages of ten pages fits. */
const MESSAGE_MAX_BYTES = 32 * 1024 * 1024;

type Service = { Billing: { service: grpc.ServiceDefinition } & grpc.ServiceClientConstructor };

function loadBilling(): Service {
  const definition = loadSync(PROTO_FILE, { keepCase: true });
  const methods = definition[SERVICE] as grpc.ServiceDefinition;
  for (const [name, codec] of billingCodecs()) Object.assign(methods[name] as object, codec);
  const packages = grpc.loadPackageDefinition(definition) as unknown as { jsms: { billing: { v1: Service } } };
  return packages.jsms.billing.v1;
}

export type BillingClient = {
  /**
   * Makes one call. Throws `unavailable` when nothing was sent or billing refused before any effect, `outcome_unknown` when
   * the answer was lost: then only the same ids may be asked again.
   * @param deadlineMs after this long the outcome is unknown
   */
  call<M extends BillingMethod>(
    method: M,
    request: BillingMethods[M][0],
    deadlineMs: number,
  ): Promise<BillingMethods[M][1]>;
  /** Resolves when a connection stands; throws when none does in time, and a ConfigError when billing refuses our key. */
  ready(waitMs: number): Promise<void>;
  close(): void;
};

type Unary = (
  request: unknown,
  metadata: grpc.Metadata,
  options: { deadline: number },
  done: (error: grpc.ServiceError | null, reply: unknown) => void,
) => void;

/** How the client proves who it is, and by whom it believes billing; nothing of it unless given. */
export type BillingAccess = {
  /** The first is shown. */
  internalKeys: readonly string[];
  /** Authorities in PEM; null: the system's. */
  ca: string | null;
};

/** @param address `host:port`; `grpcs://host:port` for TLS */
export function connectBilling(
  address: string,
  { internalKeys: [key], ca }: BillingAccess = { internalKeys: [], ca: null },
): BillingClient {
  const { Billing } = loadBilling();
  const [, scheme = 'grpc', place = address] = /^(grpcs?):\/\/(.*)$/.exec(address) ?? [];
  const secure = scheme === 'grpcs';
  const ip = place.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  const byAddress = secure && isIP(ip) !== 0;
  // An address is no name that TLS could ask for: grpc-js would ask for it and fail, so the certificate is held to it by hand.
  const identity = byAddress
    ? { checkServerIdentity: (_: string, certificate: PeerCertificate) => checkServerIdentity(ip, certificate) }
    : {};
  const channel = secure
    ? grpc.credentials.createSsl(ca === null ? null : Buffer.from(ca), null, null, identity)
    : grpc.credentials.createInsecure();
  const metadata = new grpc.Metadata();
  if (key !== undefined) metadata.set(AUTHORIZATION, `Bearer ${key}`);
  const client = new Billing(place, channel, {
    ...(byAddress ? { 'grpc.ssl_target_name_override': 'billing' } : {}),
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 5_000,
    'grpc.max_receive_message_length': MESSAGE_MAX_BYTES,
    'grpc.max_send_message_length': MESSAGE_MAX_BYTES,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2_000,
    // grpc-js repeats a call by itself only when it never left; ours are repeated by ids, and by us.
    'grpc.enable_retries': 0,
  });
  const methods = client as unknown as Record<BillingMethod, Unary>;
  let taken = key === undefined;
  /** One harmless call, so that a wrong key is found at the start and not by the first customer. */
  const tryKey = (waitMs: number): Promise<void> =>
    new Promise((resolve, reject) => {
      methods.GetBalance.call(client, { user_id: '-' }, metadata, { deadline: Date.now() + waitMs }, (error) => {
        if (error?.code === grpc.status.UNAUTHENTICATED)
          return reject(new ConfigError([`INTERNAL_KEY: billing at ${place} has another one`]));
        taken = true;
        resolve();
      });
    });
  return {
    call: (method, request, deadlineMs) =>
      new Promise((resolve, reject) => {
        methods[method].call(client, request, metadata, { deadline: Date.now() + deadlineMs }, (error, reply) => {
          if (error) reject(fromGrpc(error));
          else resolve(reply as never);
        });
      }),
    ready: async (waitMs) => {
      await new Promise<void>((resolve, reject) => {
        client.waitForReady(Date.now() + waitMs, (error) => (error ? reject(error) : resolve()));
      });
      if (!taken) await tryKey(waitMs);
    },
    close: () => client.close(),
  };
}

const CODE_METADATA = 'jsms-code';
const AUTHORIZATION = 'authorization';

function fromGrpc(error: grpc.ServiceError): AppError {
  const code = error.metadata?.get(CODE_METADATA)[0];
  if (code === 'unavailable')
    return new AppError('unavailable', 'Billing cannot do that at the moment.', { cause: error });
  if (error.code === grpc.status.UNAUTHENTICATED)
    return new AppError('unavailable', 'Billing does not take our key; nothing was done.', { cause: error });
  if (error.code === grpc.status.INVALID_ARGUMENT)
    return new AppError('internal', 'Billing refused the call.', { cause: error });
  // A connection that could not be made never carried the call; any other failure may have come after its effect.
  const neverSent =
    error.code === grpc.status.UNAVAILABLE &&
    /ECONNREFUSED|No connection established|Name resolution/i.test(error.details);
  if (neverSent) return new AppError('unavailable', 'Billing does not answer at the moment.', { cause: error });
  return new AppError('outcome_unknown', 'Billing did not answer in time.', { cause: error });
}

/** Whether a call failed because its answer was larger than a message may be. */
export const isTooLarge = (thrown: unknown): boolean =>
  (thrown as { cause?: { code?: number } }).cause?.code === grpc.status.RESOURCE_EXHAUSTED;

/** One handler per method; what it throws becomes a status, and the log keeps what the caller is not told. */
export type BillingHandlers = {
  [M in BillingMethod]: (request: BillingMethods[M][0]) => Promise<BillingMethods[M][1]>;
};

const STATUS: Partial<Record<ErrorCode, grpc.status>> = {
  unavailable: grpc.status.UNAVAILABLE,
  invalid_request: grpc.status.INVALID_ARGUMENT,
};

function serverCredentials(tls: Tls | null): grpc.ServerCredentials {
  if (tls === null) return grpc.ServerCredentials.createInsecure();
  const pair = { cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) };
  return grpc.ServerCredentials.createSsl(null, [pair]);
}

/** Whether a call shows one of the services' keys. */
function isOurs(metadata: grpc.Metadata, hashes: readonly Buffer[]): boolean {
  const shown = String(metadata.get(AUTHORIZATION)[0] ?? '');
  const key = shown.startsWith('Bearer ') ? shown.slice(7) : '';
  return hashes.some((hash) => isSameKey(key, hash));
}

export type BillingServer = { readonly port: number; close(): Promise<void> };

/** Listens; throws one clear sentence when the port is taken. `close` lets calls in flight finish, at most 5 s. */
export async function serveBilling(
  handlers: BillingHandlers,
  host: string,
  port: number,
  log: Log,
  { internalKeys, tls }: { internalKeys: readonly string[]; tls: Tls | null } = { internalKeys: [], tls: null },
): Promise<BillingServer> {
  const hashes = internalKeys.map(hashOf);
  const server = new grpc.Server({
    'grpc.max_receive_message_length': MESSAGE_MAX_BYTES,
    'grpc.max_send_message_length': MESSAGE_MAX_BYTES,
    'grpc.keepalive_time_ms': 30_000,
  });
  const implementation: grpc.UntypedServiceImplementation = {};
  for (const [name, handle] of Object.entries(handlers) as [BillingMethod, (request: unknown) => Promise<unknown>][]) {
    implementation[name] = (call: grpc.ServerUnaryCall<unknown, unknown>, done: grpc.sendUnaryData<unknown>) => {
      if (hashes.length > 0 && !isOurs(call.metadata, hashes)) {
        log.warn('call_refused', { method: name, reason: 'key', peer: call.getPeer() });
        return done({ code: grpc.status.UNAUTHENTICATED, details: 'this door asks for the key of the services' });
      }
      handle(call.request).then(
        (reply) => done(null, reply),
        (thrown) => {
          const error = toAppError(thrown);
          log.warn('call_failed', { method: name, ...errorFields(error) });
          const metadata = new grpc.Metadata();
          metadata.set(CODE_METADATA, error.code);
          done({ code: STATUS[error.code] ?? grpc.status.INTERNAL, details: error.message, metadata });
        },
      );
    };
  }
  server.addService(loadBilling().Billing.service, implementation);
  const taken = (cause: unknown): Error =>
    new Error(`${host}:${port} cannot be listened on (is it taken?); set BILLING_GRPC_PORT to a free port`, { cause });
  const bind = (address: string, credentials: grpc.ServerCredentials): Promise<number> =>
    new Promise((resolve, reject) => {
      server.bindAsync(address, credentials, (error, at) => (error ? reject(taken(error)) : resolve(at)));
    });
  let front: TlsFront | null = null;
  let bound: number;
  if (tls !== null && runtimeName === 'deno') {
    const inner = await bind('127.0.0.1:0', grpc.ServerCredentials.createInsecure());
    front = await openTlsFront(tls, host, port, inner, ['h2']).catch((thrown) => {
      server.forceShutdown();
      throw taken(thrown);
    });
    bound = front.port;
  } else {
    bound = await bind(`${host}:${port}`, serverCredentials(tls));
  }
  return {
    port: bound,
    close: async () => {
      await new Promise<void>((resolve) => {
        const force = setTimeout(() => server.forceShutdown(), 5_000);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      });
      front?.close();
    },
  };
}
