/** Keys as a person makes them, and calls that show them. */
import { spawn } from 'node:child_process';
import { ROOT } from '../../local/places.ts';
import type { Answer, Ask } from './http.ts';
import type { Stack } from './stack.ts';

/** What AUTH=required needs. */
export const INTERNAL_KEY = 'internal-key-of-the-tests-0123456789abcdef';
export const AUTH_ENV = { AUTH: 'required', INTERNAL_KEY } as const;

export type Printed = { code: number | null; out: string; err: string };

/** Runs `bun run keys …` to its end. */
export function runKeys(redisUrl: string, args: readonly string[]): Promise<Printed> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['run', 'keys', ...args], {
      cwd: ROOT,
      env: { ...process.env, REDIS_URL: redisUrl },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      err += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}

/** Makes a key by the command. Throws what the command said when it made none. */
export async function makeKey(redisUrl: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await runKeys(redisUrl, ['create', ...args]);
  if (code !== 0) throw new Error(err);
  return out.trim();
}

/** A call at one of the doors that shows a key, or none. */
export const callWith = <T = Record<string, unknown>>(
  stack: Stack,
  key: string | null,
  ...[service, method, path, options = {}]: [Parameters<Stack['call']>[0], string, string, Ask?]
): Promise<Answer<T>> =>
  stack.call<T>(service, method, path, {
    ...options,
    headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...options.headers },
  });
