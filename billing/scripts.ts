/** The Lua scripts as functions. Each file is preceded by the times it uses (milliseconds), clock.lua and record.lua. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineScript, type Redis, type ScriptRunner } from '../shared/redis.ts';
import { ATTEMPTS_MAX } from '../shared/topics.ts';

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

const NAMES = ['hold', 'claim', 'settle', 'sweep', 'confirm', 'relay', 'topup'] as const;
type Name = (typeof NAMES)[number];
export type Scripts = Record<Name, ScriptRunner>;

/** A script's answer, which is JSON; Lua knows no empty list. */
export function answersOf<T>(reply: unknown): T[] {
  const answers = JSON.parse(reply as string) as T[] | Record<string, never>;
  return Array.isArray(answers) ? answers : [];
}

const source = (name: string): string => readFileSync(join(import.meta.dirname, 'scripts', `${name}.lua`), 'utf8');

/** @param clock the Lua of `now_ms()`; tests give one that they can move */
export function loadScripts(redis: Redis, times: Times, clock: string = source('clock')): Scripts {
  const constants = [
    `local ATTEMPTS_MAX = ${ATTEMPTS_MAX}`,
    `local RETRY_WAITS_MS = { ${times.retryWaitsMs.join(', ')} }`,
    `local PUBLISH_GRACE_MS = ${times.publishGraceMs}`,
    `local RELAY_AFTER_MS = ${times.relayAfterMs}`,
    `local FORGET_AFTER_MS = ${times.forgetAfterMs}`,
    `local ADRIFT_AFTER_MS = ${times.adriftAfterMs}`,
    `local KEY_TTL_MS = ${times.keyTtlMs}`,
    `local ID_AGE_MAX_MS = ${times.idAgeMaxMs}`,
  ].join('\n');
  const prelude = `${constants}\n${clock}\n${source('record')}`;
  const scripts = {} as Scripts;
  for (const name of NAMES) scripts[name] = defineScript(redis, `jsms_${name}`, `${prelude}\n${source(name)}`);
  return scripts;
}
