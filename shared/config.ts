/**
 * Settings are environment variables. A service's config.ts is a table of them; reading reports every problem at once,
 * and docs/CONFIG.md is checked against the same tables by a test.
 */

export type Setting<T> = {
  readonly fallback: string;
  readonly about: string;
  readonly parse: (raw: string) => T;
  readonly secret?: true;
};
export type Settings = Readonly<Record<string, Setting<unknown>>>;
export type Values<S extends Settings> = { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

const fail = (reason: string): never => {
  throw new Error(reason);
};

export const text = (fallback: string, about: string): Setting<string> => ({ fallback, about, parse: (raw) => raw });

export const integer = (fallback: number, min: number, max: number, about: string): Setting<number> => ({
  fallback: String(fallback),
  about,
  parse: (raw) => {
    const n = /^-?[0-9]{1,16}$/.test(raw) ? Number(raw) : Number.NaN;
    return n >= min && n <= max ? n : fail(`must be a whole number from ${min} to ${max}`);
  },
});

export const port = (fallback: number, about: string): Setting<number> => integer(fallback, 0, 65_535, about);

export const choice = <T extends string>(fallback: T, choices: readonly T[], about: string): Setting<T> => ({
  fallback,
  about,
  parse: (raw) => (choices.includes(raw as T) ? (raw as T) : fail(`must be one of ${choices.join(', ')}`)),
});

/** A setting that nobody may read in a log or in an error: what is wrong with it is said without it. */
export const secret = (about: string): Setting<string> => ({ ...text('', about), secret: true });

/**
 * A URL, which may hold a password: a bad one is refused without being repeated.
 * @param protocols such as `redis:`
 */
export const url = (fallback: string, protocols: readonly string[], about: string): Setting<string> => ({
  fallback,
  about,
  parse: (raw) =>
    URL.canParse(raw) && protocols.includes(new URL(raw).protocol)
      ? raw
      : fail(`must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`),
});

/** The settings that every service has. */
export const COMMON = {
  HOST: text('127.0.0.1', 'the address to listen on; anything but the loopback is refused unless AUTH is required'),
  AUTH: choice('off', ['off', 'required'], 'required: every door but health and documentation asks for a key'),
  INTERNAL_KEY: secret(
    'the key that services show each other when AUTH is required, 32 to 200 letters, digits, - and _; a second one by comma is taken too, while it is being changed',
  ),
  TRUSTED_PROXIES: text(
    '',
    'addresses or networks by comma whose X-Forwarded-For is believed, for keys that are bound to addresses',
  ),
  TLS_CERT_FILE: text('', 'a certificate chain in PEM: the HTTP doors and gRPC then speak TLS alone'),
  TLS_KEY_FILE: text('', "the certificate's private key in PEM"),
  TLS_CA_FILE: text(
    '',
    "authorities in PEM that vouch for the other services, Kafka and Redis, in place of the system's; PostgreSQL's stands in its URL",
  ),
  LOG_LEVEL: choice('info', ['debug', 'info', 'warn', 'error'], 'the least level that is logged'),
  DEPENDENCY_WAIT_S: integer(60, 1, 3600, 'how long a start waits for the servers it needs, seconds'),
} as const;

/** What stands in the way of a start: one sentence per problem. */
export class ConfigError extends Error {
  readonly problems: readonly string[];
  constructor(problems: string[]) {
    super(problems.join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

const LOOPBACK = ['127.0.0.1', '::1', 'localhost'];
const INTERNAL_KEYS = /^[A-Za-z0-9_-]{32,200}(,[A-Za-z0-9_-]{32,200})?$/;

/** What would let strangers in, from the settings that are in the table. */
function exposureProblems(values: Readonly<Record<string, unknown>>): string[] {
  const { HOST, AUTH, INTERNAL_KEY, TLS_CERT_FILE, TLS_KEY_FILE } = values;
  const problems: string[] = [];
  if (typeof HOST === 'string' && !LOOPBACK.includes(HOST) && AUTH !== 'required') {
    const mend = 'AUTH' in values ? '; set AUTH=required, or listen on 127.0.0.1' : '';
    problems.push(
      `HOST: ${HOST} is not the loopback; without keys anybody who reaches it could send and spend, so it is refused${mend}`,
    );
  }
  if (AUTH === 'required' && !INTERNAL_KEYS.test(String(INTERNAL_KEY))) {
    problems.push(
      'INTERNAL_KEY: AUTH=required needs one, the same for all services: 32 to 200 letters, digits, - and _ (`openssl rand -hex 32` makes one)',
    );
  }
  if ((TLS_CERT_FILE === '') !== (TLS_KEY_FILE === ''))
    problems.push('TLS_CERT_FILE, TLS_KEY_FILE: TLS needs both, or neither');
  return problems;
}

/** Reads a table of settings. An empty variable counts as unset. Throws one ConfigError that names every problem. */
export function readSettings<S extends Settings>(
  settings: S,
  env: Readonly<Record<string, string | undefined>>,
): Values<S> {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(settings)) {
    try {
      values[name] = setting.parse(env[name] || setting.fallback);
    } catch (thrown) {
      problems.push(`${name}: ${(thrown as Error).message}`);
    }
  }
  problems.push(...exposureProblems(values));
  if (problems.length > 0) throw new ConfigError(problems);
  return values as Values<S>;
}
