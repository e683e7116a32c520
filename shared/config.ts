/**
 * Settings are environment variables. A service's config.ts is a table of them; reading reports every problem at once,
 * and docs/CONFIG.md is checked against the same tables by a test.
 */

export type Setting<T> = { readonly fallback: string; readonly about: string; readonly parse: (raw: string) => T };
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

/** The settings that every service has. */
export const COMMON = {
  HOST: text('127.0.0.1', 'the address to listen on; anything but the loopback is refused while there are no keys'),
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
  const host = values.HOST;
  if (typeof host === 'string' && !['127.0.0.1', '::1', 'localhost'].includes(host)) {
    problems.push(
      `HOST: ${host} is not the loopback; without keys anybody who reaches it could send and spend, so it is refused`,
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return values as Values<S>;
}
