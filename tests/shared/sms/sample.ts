/** Files of settings for tests: a small good one, and the same with one thing changed. */
import { parseOperators } from '../../../shared/sms/operators.ts';

export type Json = Record<string, unknown>;

export const HTTP: Json = { url: 'http://127.0.0.1:2780/x' };
export const SMPP: Json = { host: '127.0.0.1', system_id: 'x', password: 'x' };

/** An operator on the HTTP connector; a setting that is undefined is left out. */
export const operator = (changed: Json = {}): Json =>
  defined({ prefixes: ['912'], connector: 'http', http: HTTP, ...changed });

export const smppOperator = (changed: Json = {}): Json =>
  defined({ prefixes: ['912'], connector: 'smpp', smpp: SMPP, ...changed });

export const fileOf = (operators: Json, rest: Json = {}): Json => ({ operators, ...rest });

export function problemsOf(json: unknown, env: Readonly<Record<string, string>> | null = {}): string[] {
  const result = parseOperators(json, env);
  return result.ok ? [] : result.problems;
}

/** The only operator of a file that is good. Throws its problems otherwise. */
export function onlyOperator(settings: Json, env: Readonly<Record<string, string>> | null = {}) {
  const result = parseOperators(fileOf({ A: settings }), env);
  if (!result.ok) throw new Error(result.problems.join('\n'));
  const [first] = result.file.operators;
  if (!first) throw new Error('no operator');
  return first;
}

const defined = (settings: Json): Json =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
