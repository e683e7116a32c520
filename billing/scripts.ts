/** The Lua scripts as functions. Each file is preceded by clock.lua and record.lua, and constants are put in place. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineScript, type Redis, type ScriptRunner } from '../shared/redis.ts';
import { ATTEMPTS_MAX } from '../shared/topics.ts';
import type { Shards } from './shard.ts';

export type Times = {
  retryWaitsMs: readonly number[];
  /** How long an outcome waits for its publication to be confirmed before the sweeper publishes it. */
  publishGraceMs: number;
  /** How long an accepted message waits for its production to be confirmed before the relay produces it. */
  relayAfterMs: number;
  /** How long a decided and published record is kept, to answer redeliveries. */
  forgetAfterMs: number;
  /** How long a message that was handed back waits for its next claim before it is produced again. */
  adriftAfterMs: number;
  keyTtlMs: number;
  /**
   * Ids further than this from Redis' clock, either way, are refused: a thawed gateway must not replay. At most half of
   * forgetAfterMs, so that an id is refused before its record is forgotten, even one from a clock that was ahead.
   */
  idAgeMaxMs: number;
};

export const TIMES: Omit<Times, 'retryWaitsMs'> = {
  publishGraceMs: 5_000,
  relayAfterMs: 3_000,
  forgetAfterMs: 120_000,
  adriftAfterMs: 30_000,
  keyTtlMs: 86_400_000,
  idAgeMaxMs: 60_000,
};

/** A message's record in Redis, in its order. A script names a field's place by the field's name in capitals. */
export const RECORD_FIELDS = [
  'state',
  'user',
  'price',
  'attempt',
  'version',
  'published',
  'valid_until',
  'until',
  'owner',
  'claim',
  'operator',
  'resend',
  'unknown_wait',
  'adrift',
  'ids',
  'posted',
  'error',
  'flags',
  'decided_at',
  'dead',
  'event',
] as const;
const FIELD_PLACES = Object.fromEntries(RECORD_FIELDS.map((name, i) => [name.toUpperCase(), i + 1]));

const NAMES = ['hold', 'claim', 'settle', 'sweep', 'confirm', 'relay', 'topup'] as const;
export type ScriptName = (typeof NAMES)[number];
/** Each is given the tag of the shard that it is to work on. */
export type Scripts = Record<ScriptName, ScriptRunner> & { readonly shards: Shards };

/** A script's answer, which is JSON; Lua knows no empty list. */
export function answersOf<T>(reply: unknown): T[] {
  const answers = JSON.parse(reply as string) as T[] | Record<string, never>;
  return Array.isArray(answers) ? answers : [];
}

const source = (name: string): string => readFileSync(join(import.meta.dirname, 'scripts', `${name}.lua`), 'utf8');

const COMMENT_LINE = /^\s*--.*\n/gm;
const CAPITALS = /\b[A-Z][A-Z_]+\b/g;

/**
 * A script as Redis gets it: constants by their values, and no comments. Lua 5.1 knows no constants: as locals that functions
 * use they are made anew by every call, which cost a call of fifteen messages as much as one of them.
 */
export const inPlace = (lua: string, constants: Readonly<Record<string, number>>): string =>
  lua.replace(COMMENT_LINE, '').replace(CAPITALS, (name) => (constants[name] ?? name).toString());

/** @param clock the Lua of `now_ms()`; tests give one that they can move */
export function loadScripts(redis: Redis, shards: Shards, times: Times, clock: string = source('clock')): Scripts {
  const constants = {
    ...FIELD_PLACES,
    ATTEMPTS_MAX,
    PUBLISH_GRACE_MS: times.publishGraceMs,
    RELAY_AFTER_MS: times.relayAfterMs,
    FORGET_AFTER_MS: times.forgetAfterMs,
    ADRIFT_AFTER_MS: times.adriftAfterMs,
    KEY_TTL_MS: times.keyTtlMs,
    ID_AGE_MAX_MS: times.idAgeMaxMs,
  };
  const prelude = `local retry_waits_ms = { ${times.retryWaitsMs.join(', ')} }\n${clock}\n${source('record')}`;
  const scripts = { shards } as Scripts;
  for (const name of NAMES)
    scripts[name] = defineScript(redis, `jsms_${name}`, inPlace(`${prelude}\n${source(name)}`, constants));
  return scripts;
}
