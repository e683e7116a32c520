/** One JSON line per event or batch on stdout. Never texts, whole numbers or keys: callers mask. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
type Fields = Record<string, unknown>;
export type Log = {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
};

const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

const MASKS: readonly (readonly [RegExp, string])[] = [
  [/\bjsms_([0-9a-f]{16})_[0-9a-f]{64}\b/g, 'jsms_$1_***'],
  [/\b(Bearer) +\S+/gi, '$1 ***'],
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/]*@/gi, '$1***@'],
  [/(?<![0-9A-Za-z-])(\+98|0098|98|0)?(9[0-9]{2})[0-9]{5}([0-9]{2})(?![0-9A-Za-z-])/g, '$1$2*****$3'],
];

/** The words of others' errors may hold what they were given: keys, passwords in URLs and whole numbers are masked. */
export function masked(words: string): string {
  return MASKS.reduce((text, [pattern, mask]) => text.replace(pattern, mask), words);
}

/** An error as log fields, masked; its stack stays out. */
export function errorFields(thrown: unknown): Fields {
  if (!(thrown instanceof Error)) return { error: masked(String(thrown)) };
  const cause = thrown.cause instanceof Error ? masked(`${thrown.cause.name}: ${thrown.cause.message}`) : undefined;
  return { error: masked(`${thrown.name}: ${thrown.message}`), ...(cause ? { cause } : {}) };
}

export function createLog(
  service: string,
  level: LogLevel,
  write: (line: string) => void = (line) => process.stdout.write(line),
): Log {
  const at =
    (name: LogLevel) =>
    (event: string, fields: Fields = {}) => {
      if (RANK[name] < RANK[level]) return;
      write(`${JSON.stringify({ time: new Date().toISOString(), level: name, service, event, ...fields })}\n`);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
