/** The `http` section of an operator in operator.json: how its API is called. docs/OPERATORS.md lists every setting. */
import { choice, type Env, entriesOf, fieldsOf, integer, type Place, type Rule, secret, text } from './fields.ts';
import type { StatusOverrides } from './operator-status.ts';

export type HttpSettings = {
  /** http or https; may hold placeholders in its path and query. */
  url: string;
  method: string;
  headers: Readonly<Record<string, string>>;
  /** A template with placeholders; null for GET, which has none. */
  body: string | null;
  /** Dotted path of the operator's id in the JSON answer. */
  idPath: string;
  timeoutMs: number;
  /** Requests in flight at once, for each dispatcher. */
  windowSize: number;
  /** From the operator's `status_overrides`. */
  statuses: StatusOverrides;
  /** From the operator's `wrong_network_codes`. */
  wrongNetwork: readonly number[];
};

/** What the connector fills in for each message; other names in braces are refused, since they are typing errors. */
export const PLACEHOLDERS = ['message_id', 'to', 'from', 'text', 'encoding', 'pages', 'attempt', 'lane'] as const;

/** The body of an API that was made for this gateway, the simulator's among them. */
const DEFAULT_BODY =
  '{"message_id":"{message_id}","to":"{to}","from":"{from}","text":"{text}","encoding":"{encoding}"}';

const ANY_PLACEHOLDER = /\{([a-z_]+)\}/g;
/** No placeholder in the host, no fragment, no blanks. */
const URL_SHAPE = /^https?:\/\/[^\s/?#{}]+[^\s#]*$/i;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/;
const HEADER_VALUE = /^[\t\x20-\x7e]{0,4096}$/;
/** What frames the request is the connector's own. */
const OWN_HEADERS = /^(?:host|content-length|transfer-encoding|connection|expect|upgrade|te|trailer)$/i;
const HEADERS_MAX = 32;
const BODY_MAX_LENGTH = 16_384;
const BODY_DEPTH_MAX = 8;

/** @param statuses what the operator makes of statuses: the connector is told in one piece */
export const httpSettings =
  (env: Env | null, statuses: StatusOverrides, wrongNetwork: readonly number[]): Rule<HttpSettings> =>
  (value, place) => {
    const fields = fieldsOf(value, place);
    if (!fields) return undefined;
    const url = fields.need('url', secret(env, httpUrl));
    const method = fields.read('method', choice('POST', 'PUT', 'PATCH', 'GET'), 'POST');
    const settings: HttpSettings = {
      url,
      method,
      headers: fields.read('headers', httpHeaders(env), {}),
      body: fields.read('body', bodyTemplate(env), method === 'GET' ? null : DEFAULT_BODY),
      idPath: fields.read('id_path', text(ID_PATH, 'names joined by dots, such as messages.0.id'), 'id'),
      timeoutMs: fields.read('timeout_ms', integer(100, 120_000), 5_000),
      windowSize: fields.read('window', integer(1, 10_000), 64),
      statuses,
      wrongNetwork,
    };
    fields.end();
    checkCarried(settings, place);
    return settings;
  };

const ID_PATH = /^[^.\s]{1,64}(?:\.[^.\s]{1,64}){0,7}$/;

const httpUrl: Rule<string> = (value, place) => {
  if (typeof value !== 'string' || value.length > 2048 || !URL_SHAPE.test(value) || !URL.canParse(value)) {
    return place.refuse('must be an http or https URL without blanks or a fragment');
  }
  return knownPlaceholders(value, place);
};

const headerValue: Rule<string> = (value, place) => {
  if (typeof value !== 'string' || !HEADER_VALUE.test(value))
    return place.refuse('must be printable ASCII on one line');
  return placeholdersIn(value).some(isPlaceholder)
    ? place.refuse('placeholders are filled in the url and the body alone')
    : value;
};

const httpHeaders =
  (env: Env | null): Rule<Record<string, string>> =>
  (value, place) => {
    const headers = new Map<string, string>();
    const seen = new Set<string>();
    for (const [name, raw] of entriesOf(value, place) ?? []) {
      const at = place.inside(name);
      if (!HEADER_NAME.test(name)) at.refuse('is not the name of a header');
      else if (OWN_HEADERS.test(name)) at.refuse('is written by the connector itself');
      else if (seen.has(name.toLowerCase())) at.refuse('is there twice');
      else if (seen.size === HEADERS_MAX) return place.refuse(`must have at most ${HEADERS_MAX} entries`);
      seen.add(name.toLowerCase());
      headers.set(name, secret(env, headerValue)(raw, at) ?? '');
    }
    return Object.fromEntries(headers);
  };

/** JSON whose texts hold placeholders, or the body as one text (a form, XML). `{ "env": "NAME" }` inside is a secret. */
const bodyTemplate =
  (env: Env | null): Rule<string> =>
  (value, place) => {
    const isJson = typeof value === 'object' && value !== null;
    if (!isJson && typeof value !== 'string') return place.refuse('must be an object or a text');
    const body = isJson ? JSON.stringify(withSecrets(value, place, env, 0)) : knownPlaceholders(value as string, place);
    if (body === undefined || body === '') return place.refuse('must not be empty');
    return body.length > BODY_MAX_LENGTH ? place.refuse(`must be shorter than ${BODY_MAX_LENGTH} characters`) : body;
  };

/** A secret stands in the template as it is, so one that looks like a placeholder would be filled: it is refused. */
const bodySecret: Rule<string> = (value, place) =>
  typeof value === 'string' && !placeholdersIn(value).some(isPlaceholder)
    ? value
    : place.refuse('the secret must not contain a placeholder');

function withSecrets(value: unknown, place: Place, env: Env | null, depth: number): unknown {
  if (typeof value === 'string') return knownPlaceholders(value, place);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === BODY_DEPTH_MAX) return place.refuse(`must be at most ${BODY_DEPTH_MAX} levels deep`);
  if (Array.isArray(value)) return value.map((item, at) => withSecrets(item, place.inside(at), env, depth + 1));
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0]?.[0] === 'env') return secret(env, bodySecret)(value, place);
  return Object.fromEntries(entries.map(([key, item]) => [key, withSecrets(item, place.inside(key), env, depth + 1)]));
}

const placeholdersIn = (value: string): string[] =>
  [...value.matchAll(ANY_PLACEHOLDER)].map(([, name]) => name as string);
const isPlaceholder = (name: string): boolean => (PLACEHOLDERS as readonly string[]).includes(name);

function knownPlaceholders(value: string, place: Place): string {
  const wrong = placeholdersIn(value).find((name) => !isPlaceholder(name));
  if (wrong !== undefined) {
    place.refuse(
      `{${wrong.slice(0, 40)}} is no placeholder; known are ${PLACEHOLDERS.map((name) => `{${name}}`).join(' ')}`,
    );
  }
  return value;
}

/** A request that does not say to whom or what would be accepted by many an API, and paid. */
function checkCarried({ url, method, body }: HttpSettings, place: Place): void {
  if (method === 'GET' && body !== null) place.inside('body').refuse('GET sends none; use the url');
  // An empty url was refused already, or it is a secret that this reader does not need.
  if (!url) return;
  const carried = placeholdersIn(`${url}${body ?? ''}`);
  for (const name of ['to', 'text']) {
    if (!carried.includes(name)) place.refuse(`neither the url nor the body carries {${name}}`);
  }
}
