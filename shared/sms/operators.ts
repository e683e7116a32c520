/**
 * operator.json: who carries which numbers, and how each operator is reached. The file is read whole or not at all, and every
 * problem is named at once. docs/OPERATORS.md is its reference for the people who write it.
 */

import type { Refused } from '../json-file.ts';
import { SLOTS } from '../topics.ts';
import {
  type ByLane,
  byLane,
  choice,
  collectProblems,
  type Env,
  entriesOf,
  type Fields,
  fieldsOf,
  integer,
  list,
  type Place,
  placeAt,
  type Rule,
  seconds,
  share,
  text,
} from './fields.ts';
import { type HttpSettings, httpSettings } from './operator-http.ts';
import { type SmppSettings, smppSettings } from './operator-smpp.ts';
import { status, statusOverrides } from './operator-status.ts';
import { parsePhone } from './phone.ts';

export type { HttpSettings } from './operator-http.ts';
export type { SmppSettings } from './operator-smpp.ts';
export type { OutcomeClass, StatusOverrides } from './operator-status.ts';

/** What follows an `unknown` outcome (DESIGN.md, outcomes at an operator). The bulk lane is normal. */
export type OnUnknown = 'wait' | 'resend';

export type BreakerSettings = {
  /** Faults of the link in a row that open it. */
  failures: number;
  openMs: number;
  /** Submits that may be in flight at once while it is half-open; when as many got through it closes. */
  halfOpenProbes: number;
};

export type OperatorCommon = {
  name: string;
  /** Digits after the leading 0. */
  prefixes: readonly string[];
  /** Whose partitions are its own, 0 to SLOTS − 1. */
  slot: number;
  /** Submits a second over all dispatchers; 0 is unlimited. */
  tps: number;
  /** Who carries its messages while it cannot, in this order. */
  fallback: readonly string[];
  onUnknown: ByLane<OnUnknown>;
  /** How long a waiting `unknown` may be settled by a receipt. */
  unknownWaitMs: number;
  /** The part of window and rate that is kept for express, 0 to 0.9. */
  expressShare: number;
  breaker: BreakerSettings;
};

export type OperatorSettings = OperatorCommon &
  ({ connector: 'http'; http: HttpSettings } | { connector: 'smpp'; smpp: SmppSettings });

export type OperatorsFile = {
  /** In the order of the file. */
  operators: readonly OperatorSettings[];
  /** E.164 → operator's name. */
  portedNumbers: ReadonlyMap<string, string>;
};

export type OperatorsResult = { ok: true; file: OperatorsFile } | Refused;

/** A place in the routing table is one byte. */
const OPERATORS_MAX = 64;
const PREFIXES_MAX = 10_000;
const OPERATOR_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/;
const NAME: Rule<string> = text(OPERATOR_NAME, 'a letter, then up to 31 letters, digits, _ or -');

/** Never throws.
 * @param env where `{ "env": "NAME" }` is looked up; null for a reader that needs no secrets (routing), which then are '' */
export function parseOperators(json: unknown, env: Env | null = process.env): OperatorsResult {
  const problems = collectProblems();
  const root = placeAt('', problems);
  const fields = fieldsOf(json, root);
  const operators = fields?.need('operators', operatorsRule(env)) ?? [];
  const names = new Set(operators.map((operator) => operator.name));
  const portedNumbers = fields?.read('ported_numbers', portedRule(names), new Map<string, string>());
  fields?.end();
  checkPrefixes(operators, root);
  checkFallbacks(operators, names, root);
  const lines = problems.lines();
  return lines.length > 0
    ? { ok: false, problems: lines }
    : { ok: true, file: { operators, portedNumbers: portedNumbers ?? new Map() } };
}

type Draft = OperatorSettings & { slotWanted: number | null };

const operatorsRule =
  (env: Env | null): Rule<OperatorSettings[]> =>
  (value, place) => {
    const drafts: Draft[] = [];
    const entries = entriesOf(value, place);
    if (!entries) return undefined;
    if (entries.length > OPERATORS_MAX) return place.refuse(`must have at most ${OPERATORS_MAX} entries`);
    for (const [name, raw] of entries) {
      const at = place.inside(name);
      NAME(name, at);
      const fields = fieldsOf(raw, at);
      if (fields) drafts.push(readOperator(name, fields, env));
    }
    if (entries.length === 0) place.refuse('must name at least one operator');
    return withSlots(drafts);
  };

function readOperator(name: string, fields: Fields, env: Env | null): Draft {
  const connector = fields.need('connector', choice('smpp', 'http')) ?? 'http';
  const wait: ByLane<OnUnknown> = { express: 'wait', normal: 'wait' };
  const common: OperatorCommon = {
    name,
    prefixes: fields.need('prefixes', list(PREFIX, PREFIXES_MAX)) ?? [],
    slot: 0,
    tps: fields.read('tps', integer(0, 1_000_000), 0),
    fallback: fields.read('fallback', list(NAME, OPERATORS_MAX), []),
    onUnknown: fields.read('on_unknown', byLane(choice('wait', 'resend'), wait), wait),
    unknownWaitMs: fields.read('unknown_wait_s', seconds(1, 86_400), 120_000),
    expressShare: fields.read('express_share', share(0, 0.9), 0.2),
    breaker: fields.read('breaker', breaker, { failures: 5, openMs: 10_000, halfOpenProbes: 3 }),
  };
  const slotWanted = fields.read<number | null>('slot', integer(0, SLOTS - 1), null);
  const statuses = fields.read('status_overrides', statusOverrides(connector), {});
  const wrongNetwork = fields.read('wrong_network_codes', list(status(connector), 100), []);
  const http = section(fields, 'http', connector, httpSettings(env, statuses, wrongNetwork));
  const smpp = section(fields, 'smpp', connector, smppSettings(env, statuses, wrongNetwork));
  fields.end();
  return connector === 'http'
    ? { ...common, slotWanted, connector, http: http as HttpSettings }
    : { ...common, slotWanted, connector, smpp: smpp as SmppSettings };
}

const PREFIX: Rule<string> = text(/^9[0-9]{2,4}$/, '3 to 5 digits that start with 9 (a number without its leading 0)');

/** The section of the connector in use is needed; the other one may stay in the file and is held to the same rules. */
function section<T>(fields: Fields, name: string, connector: string, rule: Rule<T>): T | undefined {
  return name === connector ? fields.need(name, rule) : fields.read<T | undefined>(name, rule, undefined);
}

const breaker: Rule<BreakerSettings> = (value, place) => {
  const fields = fieldsOf(value, place);
  if (!fields) return undefined;
  const settings = {
    failures: fields.read('failures', integer(1, 1_000), 5),
    openMs: fields.read('open_s', seconds(1, 3_600), 10_000),
    halfOpenProbes: fields.read('half_open_probes', integer(1, 100), 3),
  };
  fields.end();
  return settings;
};

/** Who names no slot gets the one that the fewest have, in the order of the file: the first four operators are alone in theirs. */
function withSlots(drafts: readonly Draft[]): OperatorSettings[] {
  const users = new Array<number>(SLOTS).fill(0);
  const use = (slot: number): number => {
    users[slot] = (users[slot] as number) + 1;
    return slot;
  };
  for (const { slotWanted } of drafts) if (slotWanted !== null) use(slotWanted);
  return drafts.map(({ slotWanted, ...operator }) => ({
    ...operator,
    slot: slotWanted ?? use(users.indexOf(Math.min(...users))),
  }));
}

/** The file's keys are phone numbers, so that a problem names the place of an entry and not the entry. */
const portedRule =
  (names: ReadonlySet<string>): Rule<Map<string, string>> =>
  (value, place) => {
    const ported = new Map<string, string>();
    const entries = entriesOf(value, place) ?? [];
    for (const [at, [key, name]] of entries.entries()) {
      const entry = place.inside(at);
      const phone = parsePhone(key);
      if (phone === null) entry.refuse('the number is not an Iranian mobile number');
      else if (ported.has(phone)) entry.refuse('the number is there twice');
      else if (typeof name !== 'string' || !names.has(name)) entry.refuse('there is no such operator');
      else ported.set(phone, name);
    }
    return ported;
  };

function checkPrefixes(operators: readonly OperatorSettings[], root: Place): void {
  const holders = new Map<string, string>();
  for (const { name, prefixes } of operators) {
    for (const prefix of prefixes) {
      const holder = holders.get(prefix);
      const place = root.inside('operators').inside(name).inside('prefixes');
      if (holder !== undefined) place.refuse(`${prefix} belongs to ${holder} already`);
      else holders.set(prefix, name);
    }
  }
}

function checkFallbacks(operators: readonly OperatorSettings[], names: ReadonlySet<string>, root: Place): void {
  for (const { name, fallback } of operators) {
    const place = root.inside('operators').inside(name).inside('fallback');
    for (const [at, other] of fallback.entries()) {
      if (other === name) place.inside(at).refuse('an operator cannot stand in for itself');
      else if (!names.has(other)) place.inside(at).refuse('there is no such operator');
    }
  }
}
