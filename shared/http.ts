/** What every HTTP door has: the one error shape, health, metrics and the API's own documentation. */
import { swagger } from '@elysiajs/swagger';
import { Type } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import type { Guard } from './auth.ts';
import { AppError, ERRORS, toProblem } from './error.ts';
import { newId } from './id.ts';
import { errorFields, type Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { documented, Ready } from './openapi.ts';
import { type Peer, peerAddress, type ServeOptions, type Server, serve } from './runtime.ts';
import { swaggerFile, swaggerPage } from './swagger-ui.ts';
import { fromElysia } from './violations.ts';

/** Past this the runtime itself refuses, without a problem document; below it readJson does, and reads no more than it takes. */
const RUNTIME_BODY_MAX_BYTES = 1024 * 1024 * 1024;

/** The order of the groups on the page: a service's own calls first. */
const TAGS = [
  'accounts',
  'send',
  'reports',
  'messages',
  'dead letters',
  'operators',
  'ported numbers',
  'receipts',
  'health',
];

export type Health = { ready: boolean; checks: Record<string, boolean> };

export type DoorOptions = {
  service: string;
  title: string;
  description: string;
  log: Log;
  metrics: Metrics;
  /** Asked at each /health/ready. */
  health: () => Health | Promise<Health>;
  /** Who may call what; null: anybody everything, which only the loopback may be offered. */
  guard?: Guard | null;
  /** It will be listened to with TLS. */
  secure?: boolean;
};

/** Of a parameter that is given twice one value would be taken and the other dropped, without a word. */
function refuseRepeatedParameters(url: string): void {
  const at = url.indexOf('?');
  if (at < 0) return;
  const names = [...new URLSearchParams(url.slice(at + 1)).keys()];
  if (new Set(names).size === names.length) return;
  throw new AppError('invalid_request', 'The request does not fit.', {
    fields: [{ field: 'query', detail: 'names a parameter twice' }],
  });
}

/** The methods that a path has, for `Allow`; empty where there is no such path. HEAD is a GET whose answer is thrown away. */
function methodsAt(routes: readonly { method: string; path: string }[], pathname: string): string[] {
  const place = pathname.split('/');
  const fits = (path: string): boolean => {
    const pattern = path.split('/');
    return (
      pattern.length === place.length &&
      pattern.every((part, i) => part === place[i] || (part.startsWith(':') && place[i] !== ''))
    );
  };
  const methods = new Set(routes.filter(({ path }) => fits(path)).map(({ method }) => method));
  if (methods.has('GET')) methods.add('HEAD');
  return [...methods].sort();
}

const problemHeaders = (error: AppError, requestId: string): Record<string, string> => ({
  'content-type': 'application/problem+json; charset=utf-8',
  'x-request-id': requestId,
  ...(ERRORS[error.code].retry ? { 'retry-after': String(error.retryAfterS) } : {}),
  ...(error.code === 'unauthorized' ? { 'www-authenticate': 'Bearer realm="jsms"' } : {}),
});

export function problemResponse(error: AppError, requestId: string, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(toProblem(error, requestId)), {
    status: ERRORS[error.code].status,
    headers: { ...problemHeaders(error, requestId), ...headers },
  });
}

/** Stands for a request's id in a text; no text of ours has it. */
const ID_PLACE = '\u{10ffff}';

/** problemResponse for an error that thousands get: all but the request's id is written once. */
export function preparedProblem(error: AppError): (requestId: string) => Response {
  const [before, after] = JSON.stringify(toProblem(error, ID_PLACE)).split(ID_PLACE) as [string, string];
  const { status } = ERRORS[error.code];
  const headers = new Headers(problemHeaders(error, ''));
  return (requestId) => {
    // A Response copies the headers that it is given.
    headers.set('x-request-id', requestId);
    return new Response(before + requestId + after, { status, headers });
  };
}

const REQUEST_ID = /^[A-Za-z0-9_.-]{1,64}$/;

/** The caller's own request id where it is harmless, else a fresh one. */
export function requestIdOf(request: Request): string {
  const given = request.headers.get('x-request-id');
  return given !== null && REQUEST_ID.test(given) ? given : newId();
}

/**
 * A fault of ours, and what may or may not have been done, by the id to look it up by. What was refused alone is for a search by
 * debug: under a flood those are hundreds of thousands.
 */
function logRefusal(log: Log, problem: AppError, requestId: string, thrown: unknown): void {
  const { code, extra } = problem;
  const fields = { request_id: requestId, ...extra };
  if (code === 'internal') log.error('request_failed', { ...fields, ...errorFields(thrown) });
  else if (code === 'outcome_unknown') log.warn(code, { ...fields, ...errorFields(problem) });
  else log.debug('request_refused', { ...fields, code });
}

/**
 * What becomes of a fault that Elysia lets through. It reads a handler's source to find out whether it is asynchronous; where it
 * guesses wrong, a rejection passes its error hook by and would end as an empty 500.
 */
const nets = new WeakMap<object, (thrown: unknown, request: Request) => Response>();

/** The base of a service's HTTP door: add routes to it, then `listen`. */
export function createDoor({
  service,
  title,
  description,
  log,
  metrics,
  health,
  guard = null,
  secure = false,
}: DoorOptions) {
  const refused = metrics.counter('http_refused_total', 'requests answered with a problem, by code', ['code']);
  // Elysia looks for the path from the 8th letter of a URL on (a host name of three letters or less is as good as any), or from
  // the 12th, which is right behind https:// and wrong behind http:// with such a name.
  const door = new Elysia({ name: service, normalize: false, aot: true, handler: { standardHostname: secure } });
  const refuse = (code: string | number, error: unknown, request: Request): Response => {
    const requestId = requestIdOf(request);
    const allowed = code === 'NOT_FOUND' ? methodsAt(door.routes, new URL(request.url).pathname) : [];
    if (allowed.length > 0) {
      refused.inc({ code: 'method_not_allowed' });
      const problem = new AppError('method_not_allowed', 'This path has no such method; `Allow` names those it has.');
      return problemResponse(problem, requestId, { allow: allowed.join(', ') });
    }
    const problem = fromElysia(code, error);
    refused.inc({ code: problem.code });
    logRefusal(log, problem, requestId, error);
    return problemResponse(problem, requestId);
  };
  nets.set(door, (thrown, request) => refuse('UNKNOWN', thrown, request));
  if (guard) watchDoor(door, guard);
  // /swagger/plugin is the plugin's own page, which loads its script from a third party: ours comes after it and hides it.
  // onTransform's braces: where a function answers what another one does, Elysia waits for it as for a promise, in each request.
  return door
    .onTransform({ as: 'global' }, ({ request }) => {
      refuseRepeatedParameters(request.url);
    })
    .onError({ as: 'global' }, ({ code, error, request }) => refuse(code, error, request))
    .use(
      swagger({
        path: '/swagger/plugin',
        specPath: '/swagger/json',
        exclude: [/^\/swagger/, '/metrics'],
        documentation: {
          info: { title, description, version: '1.0.0', license: { name: 'MIT' } },
          tags: TAGS.map((name) => ({ name })),
          components: {
            securitySchemes: {
              bearer: { type: 'http', scheme: 'bearer' },
              key: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
            },
          },
          security: [{ bearer: [] }, { key: [] }, ...(guard ? [] : [{}])],
        },
      }),
    )
    .get('/swagger', ({ request }) => swaggerPage(title, new URL(request.url).pathname), { detail: { hide: true } })
    .get('/swagger/plugin', async () => await swaggerFile(''), { detail: { hide: true } })
    .get('/swagger/:file', async ({ params }) => await swaggerFile(params.file), { detail: { hide: true } })
    .get('/health/live', () => ({ status: 'live' }), {
      detail: documented('health', 'Is the process alive?', {
        200: { about: 'it is', schema: Type.Object({ status: Type.Literal('live') }), example: { status: 'live' } },
      }),
    })
    .get(
      '/health/ready',
      async ({ set }) => {
        const { ready, checks } = await health();
        set.status = ready ? 200 : 503;
        return { status: ready ? 'ready' : 'unready', checks };
      },
      {
        detail: documented('health', 'May it be given work?', {
          200: { about: 'yes', schema: Ready, example: { status: 'ready', checks: { open: true } } },
          503: { about: 'not now', schema: Ready, example: { status: 'unready', checks: { open: false } } },
        }),
      },
    )
    .get(
      '/metrics',
      async () => new Response(await metrics.text(), { headers: { 'content-type': metrics.contentType } }),
      {
        detail: { hide: true },
      },
    );
}

/**
 * Asks the guard twice: when a request comes, before anything of it is read, and when its route is known. The hooks name what
 * they need of the context: Elysia reads them, and would otherwise parse bodies and cookies for each of them.
 */
function watchDoor(door: Elysia, guard: Guard): void {
  door
    .onRequest(async ({ request }) => {
      const waits = guard.enter(request);
      if (waits) await waits;
    })
    .onBeforeHandle({ as: 'global' }, ({ request, route, params }) => {
      guard.pass(request, route, params as Record<string, string> | undefined);
    })
    .onAfterHandle({ as: 'global' }, ({ request, route, responseValue }) => {
      guard.leave(request, route, responseValue);
    });
}

/**
 * Sees a request before the door does. Null: it goes on as it is, at no cost. Else an answer, or a request in its place where its
 * body was read.
 */
export type First = (request: Request) => Promise<Response | Request> | null;

/** Listens; throws one clear sentence when the port is taken. */
export function listen(
  app: { fetch: (request: Request) => Response | Promise<Response> },
  host: string,
  port: number,
  portSetting: string,
  { guard = null, first, ...rest }: { guard?: Guard | null; first?: First } & Pick<ServeOptions, 'tls' | 'idleS'> = {},
): Server {
  const options: ServeOptions = { hostname: host, port, bodyMaxBytes: RUNTIME_BODY_MAX_BYTES, ...rest };
  const net = nets.get(app);
  const answer = (request: Request): Response | Promise<Response> => {
    const response = app.fetch(request);
    return net && response instanceof Promise ? response.catch((thrown) => net(thrown, request)) : response;
  };
  try {
    const pass = (request: Request, peer: Peer): Response | Promise<Response> => {
      guard?.seen(request, peer);
      return answer(request);
    };
    if (first === undefined) return serve(guard === null ? answer : pass, options);
    return serve((request, peer) => {
      const early = first(request);
      if (early === null) return pass(request, peer);
      // The runtime knows the other end of the requests that it made, and of no other.
      const at: Peer = { remoteAddr: { hostname: peerAddress(request, peer) } };
      const seen = early.then((found) => (found instanceof Response ? found : pass(found, at)));
      return net ? seen.catch((thrown) => net(thrown, request)) : seen;
    }, options);
  } catch (thrown) {
    throw new Error(`${host}:${port} cannot be listened on (is it taken?); set ${portSetting} to a free port`, {
      cause: thrown,
    });
  }
}
