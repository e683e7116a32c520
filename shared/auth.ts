/**
 * Who may call: every route of a door names the scope it asks for and whose data it touches; what is named nowhere is for
 * `admin` alone. Known only where AUTH is required: without it a door has no guard and no request pays for one.
 */
import { clientAddress } from './addresses.ts';
import type { Credentials } from './credentials.ts';
import { AppError } from './error.ts';
import { createKeyCache, type KeyCache } from './key-cache.ts';
import { hashOf, isSameKey, keyIdOf, readKey, type Scope } from './keys.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Redis } from './redis.ts';
import { type Peer, peerAddress } from './runtime.ts';

/**
 * What a route asks for. A key with one of the scopes (or `admin`) may call it.
 * - `account`: a key bound to an account may only call it for that one. `path`: as `:user_id` says; `body`: the handler asks
 *   `Guard.owns` before any effect; `answer`: the answer's `user_id` must be its own, else there is nothing here.
 * - `operator`: a key bound to an operator may only call it for that one, as `:operator` says.
 */
export type Rule =
  | 'open'
  | {
      scopes: readonly Scope[];
      account?: 'path' | 'body' | 'answer';
      /** What a foreign answer is refused with: the route's own words for what is not there, so that nothing is told. */
      absent?: string;
      operator?: 'path';
    };

/** By method and route, such as `POST /send`. */
export type Access = Readonly<Record<string, Rule>>;

const ADMIN_ALONE: Rule = { scopes: [] };

/** The routes that every door has. */
export const DOOR_ACCESS: Access = {
  'GET /health/live': 'open',
  'GET /health/ready': 'open',
  'GET /swagger': 'open',
  'GET /swagger/json': 'open',
  'GET /swagger/:file': 'open',
  'GET /swagger/plugin': 'open',
  'GET /metrics': { scopes: ['metrics'] },
};

/** The rule of a route; a HEAD is a GET whose answer is thrown away. */
export function ruleOf(access: Access, method: string, route: string): Rule {
  const name = `${method === 'HEAD' ? 'GET' : method} ${route}`;
  return DOOR_ACCESS[name] ?? access[name] ?? ADMIN_ALONE;
}

/** Who calls. */
export type Caller = {
  /** The key's id; null for the services themselves. */
  key: string | null;
  admin: boolean;
  scopes: ReadonlySet<Scope>;
  account: string | null;
  operator: string | null;
  /** Messages a second that this key may send; null: as many as any key. */
  rate: number | null;
};

const SERVICE: Caller = { key: null, admin: true, scopes: new Set(), account: null, operator: null, rate: null };

/** May this caller call this route with these parameters? Throws `forbidden`. Pure. */
export function checkRule(rule: Rule, caller: Caller, params: Readonly<Record<string, string>> | undefined): void {
  if (rule === 'open' || caller.admin) return;
  if (!rule.scopes.some((scope) => caller.scopes.has(scope))) {
    const wanted = [...rule.scopes, 'admin'].join(' or ');
    throw new AppError('forbidden', `This key lacks the scope ${wanted}.`);
  }
  if (rule.account === 'path') checkAccount(caller, params?.user_id);
  if (rule.operator === 'path' && caller.operator !== null) {
    if (caller.operator.toLowerCase() !== params?.operator?.toLowerCase())
      throw new AppError('forbidden', 'This key is for another operator.');
  }
}

function checkAccount({ admin, account }: Caller, userId: unknown): void {
  if (!admin && (account === null || account !== userId))
    throw new AppError('forbidden', 'This key is for another account.');
}

export type Guard = {
  /** Before anything of a request is read. Throws `unauthorized`, `forbidden` (its address) or `unavailable`. */
  enter(request: Request): void | Promise<void>;
  /** Once its route is known. Throws `unauthorized` or `forbidden`. */
  pass(request: Request, route: string, params: Readonly<Record<string, string>> | undefined): void;
  /** Before an answer leaves. Throws `not_found` for another account's data. */
  leave(request: Request, route: string, answer: unknown): void;
  /** For routes whose account stands in the body. Throws `forbidden`. */
  owns(request: Request, userId: string): Caller;
  /** Told of each request with the connection it came by. */
  seen(request: Request, peer: Peer): void;
};

const BEARER = /^Bearer +(\S+) *$/i;
/** Refusals in the log within a second; more are only counted, so that a flood of them fills no disk. */
const LOGGED_PER_S = 10;

/** The key that a request shows; null without one, or with two that differ. */
export function keyOf(headers: Headers): string | null {
  const authorization = headers.get('authorization');
  const bearer = authorization === null ? null : (BEARER.exec(authorization)?.[1] ?? null);
  const apiKey = headers.get('x-api-key');
  if (authorization !== null && apiKey !== null && bearer !== apiKey) return null;
  return bearer ?? apiKey;
}

const path = (url: string): string => {
  const from = url.indexOf('/', url.indexOf('://') + 3);
  const to = url.indexOf('?', from);
  return from < 0 ? '/' : url.slice(from, to < 0 ? undefined : to);
};
/** What needs no key is known before there is a route; the route decides again. */
const isOpen = (url: string): boolean => /^\/(health\/(live|ready)|swagger(\/[^/]*)?)$/.test(path(url));

export type GuardOptions = {
  access: Access;
  credentials: Credentials;
  keys: KeyCache;
  log: Log;
  metrics: Metrics;
  /** Epoch milliseconds, for expiries. */
  now?: () => number;
};

type Refusal = 'missing' | 'unknown' | 'revoked' | 'expired' | 'address';

export function createGuard({ access, credentials, keys, log, metrics, now = Date.now }: GuardOptions): Guard {
  const callers = new WeakMap<Request, Caller>();
  const peers = new WeakMap<Request, Peer>();
  const internal = credentials.internalKeys.map(hashOf);
  const refusals = metrics.counter('key_refusals_total', 'requests whose key was refused, by reason', ['reason']);
  let logged = { second: 0, count: 0 };

  const refuse = (reason: Refusal, key: string | null, address: string): AppError => {
    refusals.inc({ reason });
    const second = Math.floor(now() / 1_000);
    if (second !== logged.second) logged = { second, count: 0 };
    if (++logged.count <= LOGGED_PER_S) log.warn('key_refused', { reason, key, address });
    return reason === 'address'
      ? new AppError('forbidden', 'This key may not be used from this address.')
      : new AppError('unauthorized', REFUSALS[reason]);
  };
  const addressOf = (request: Request): string => {
    const peer = peers.get(request);
    if (peer === undefined) return '';
    return clientAddress(peerAddress(request, peer), request.headers.get('x-forwarded-for'), credentials.trusted);
  };
  const admit = (request: Request, key: string, id: string, found: Awaited<ReturnType<KeyCache['find']>>): void => {
    if (!isSameKey(key, found?.hash ?? null) || found === null) throw refuse('unknown', id, addressOf(request));
    const { record, allow, scopes } = found;
    if (record.revoked_at !== null) throw refuse('revoked', id, addressOf(request));
    if (record.expires_at !== null && record.expires_at <= now()) throw refuse('expired', id, addressOf(request));
    if (allow !== null) {
      const address = addressOf(request);
      if (!allow(address)) throw refuse('address', id, address);
    }
    const { user: account, operator, rate = null } = record;
    callers.set(request, { key: id, admin: scopes.has('admin'), scopes, account, operator, rate });
  };

  return {
    seen: (request, peer) => void peers.set(request, peer),
    enter: (request) => {
      if (isOpen(request.url)) return;
      const key = keyOf(request.headers);
      if (key === null) throw refuse('missing', null, addressOf(request));
      const id = keyIdOf(key);
      if (id === null) {
        if (!internal.some((hash) => isSameKey(key, hash))) throw refuse('unknown', null, addressOf(request));
        callers.set(request, SERVICE);
        return;
      }
      const found = keys.find(id);
      if (found instanceof Promise) return found.then((late) => admit(request, key, id, late));
      admit(request, key, id, found);
    },
    pass: (request, route, params) => {
      const rule = ruleOf(access, request.method, route);
      if (rule === 'open') return;
      const caller = callers.get(request);
      if (caller === undefined) throw refuse('missing', null, addressOf(request));
      checkRule(rule, caller, params);
    },
    leave: (request, route, answer) => {
      const rule = ruleOf(access, request.method, route);
      if (rule === 'open' || rule.account !== 'answer') return;
      const caller = callers.get(request);
      const owner = (answer as { user_id?: unknown } | null | undefined)?.user_id;
      if (caller === undefined || !(caller.admin || (caller.account !== null && caller.account === owner)))
        throw new AppError('not_found', rule.absent ?? 'There is nothing here.');
    },
    owns: (request, userId) => {
      const caller = callers.get(request);
      if (caller === undefined) throw refuse('missing', null, addressOf(request));
      checkAccount(caller, userId);
      return caller;
    },
  };
}

/**
 * The guard of a service's door; null where no keys are asked for.
 * @param redis where the keys are
 */
export function openGuard(
  credentials: Credentials,
  redis: Redis,
  { access, log, metrics }: Pick<GuardOptions, 'access' | 'log' | 'metrics'>,
): Guard | null {
  if (!credentials.required) return null;
  return createGuard({ access, credentials, keys: createKeyCache((id) => readKey(redis, id)), log, metrics });
}

/** What a client is told; who knows the whole key may know what became of it. */
const REFUSALS: Readonly<Record<Exclude<Refusal, 'address'>, string>> = {
  missing: 'Show a key, as `Authorization: Bearer …` or as `X-API-Key`.',
  unknown: 'This key is not known.',
  revoked: 'This key was revoked.',
  expired: 'This key has expired.',
};
