/** What the loader makes of a script's text, without a Redis. */
import { describe, expect, test } from 'bun:test';
import { inPlace, loadScripts, RECORD_FIELDS, TIMES } from '../../billing/scripts.ts';
import type { Redis } from '../../shared/redis.ts';
import { SHARDS } from '../support/shards.ts';

/** The scripts as Redis would get them, by their names. */
function loaded(): Map<string, string> {
  const texts = new Map<string, string>();
  const redis = { defineCommand: (name: string, { lua }: { lua: string }) => void texts.set(name, lua) };
  loadScripts(redis as unknown as Redis, SHARDS, { ...TIMES, retryWaitsMs: [1, 2, 3] });
  return texts;
}

describe('constants in place', () => {
  test('a whole word becomes its value, and nothing else does', () => {
    expect(inPlace("r[STATE], r[STATED] = STATE, 'ZADD', RE_STATE", { STATE: 1 })).toBe(
      "r[1], r[STATED] = 1, 'ZADD', RE_STATE",
    );
  });

  test('lines that are comments go, with their blank lines; others keep theirs', () => {
    expect(inPlace('-- A head.\n\nlocal a = 1\n  -- STATE\n  f(a)\n', { STATE: 1 })).toBe('\nlocal a = 1\n  f(a)\n');
  });
});

describe('the scripts', () => {
  const texts = [...loaded()];

  test('are seven', () => {
    expect(texts).toHaveLength(7);
  });

  test.each(texts)('%s names no constant that there is not', (_, lua) => {
    const outsideQuotes = lua.replace(/'[^']*'/g, "''");
    const left = new Set(outsideQuotes.match(/\b[A-Z][A-Z_]+\b/g));
    expect([...left].sort()).toEqual(['ARGV', 'KEYS']);
  });

  test('no command of Redis is called as a field is', () => {
    const commands = texts.flatMap(([, lua]) =>
      [...lua.matchAll(/redis\.call\('(\w+)'/g)].map(([, name]) => name ?? ''),
    );
    expect(commands).toContain('ZADD');
    for (const field of RECORD_FIELDS) expect(commands).not.toContain(field.toUpperCase());
  });
});
