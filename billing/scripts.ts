/** The Lua scripts as functions. Each file is preceded by record.lua and by the times it uses, milliseconds. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineScript, type Redis } from '../shared/redis.ts';
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
  /** Ids older than this are refused: a thawed gateway must not replay. Less than forgetAfterMs. */
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
export type Scripts = Record<Name, (key: string, ...args: (string | number)[]) => Promise<unknown>>;

const source = (name: string): string => readFileSync(join(import.meta.dirname, 'scripts', `${name}.lua`), 'utf8');

export function loadScripts(redis: Redis, times: Times): Scripts {
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
  const prelude = `${constants}\n${source('record')}`;
  const scripts = {} as Scripts;
  for (const name of NAMES) scripts[name] = defineScript(redis, `jsms_${name}`, `${prelude}\n${source(name)}`);
  return scripts;
}
