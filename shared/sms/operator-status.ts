/** Statuses that an operator answers, and what operator.json makes of them. */
import { choice, entriesOf, type Place, type Rule } from './fields.ts';

/** DESIGN.md, outcomes at an operator. */
export const OUTCOME_CLASSES = ['accepted', 'rejected', 'transient', 'throttled', 'unknown'] as const;
export type OutcomeClass = (typeof OUTCOME_CLASSES)[number];

/** Decimal status → class, before the connector's own table. */
export type StatusOverrides = Readonly<Record<string, OutcomeClass>>;

type Meaning = { pattern: RegExp; sentence: string };
const MEANING: Readonly<Record<'http' | 'smpp', Meaning>> = {
  // What begins with 1 is no answer yet.
  http: { pattern: /^[2-5][0-9]{2}$/, sentence: 'must be an HTTP status from 200 to 599' },
  smpp: {
    pattern: /^(?:0x[0-9a-f]{1,8}|[0-9]{1,10})$/i,
    sentence: 'must be an SMPP command_status such as 0x14 or 20',
  },
};
const COMMAND_STATUS_MAX = 0xffff_ffff;

/** One status, as a number or as text (JSON has no hexadecimal numbers). */
export const status =
  (connector: 'http' | 'smpp'): Rule<number> =>
  (value, place) => {
    const { pattern, sentence } = MEANING[connector];
    const written = typeof value === 'number' ? String(value) : value;
    if (typeof written !== 'string' || !pattern.test(written)) return place.refuse(sentence);
    const code = Number(written);
    return code <= COMMAND_STATUS_MAX ? code : place.refuse(sentence);
  };

/** `{ "0x58": "throttled" }` for SMPP, `{ "404": "transient", "5xx": "transient" }` for HTTP, where one status goes before its hundred. */
export const statusOverrides =
  (connector: 'http' | 'smpp'): Rule<StatusOverrides> =>
  (value, place) => {
    const hundreds: Record<string, OutcomeClass> = {};
    const exact: Record<string, OutcomeClass> = {};
    for (const [key, name] of entriesOf(value, place) ?? []) {
      const at = place.inside(key);
      const outcome = choice(...OUTCOME_CLASSES)(name, at);
      if (connector === 'http' && /^[2-5]xx$/.test(key)) fillHundred(hundreds, Number(key[0]), outcome);
      else addExact(exact, status(connector)(key, at), outcome, at);
    }
    return { ...hundreds, ...exact };
  };

function fillHundred(statuses: Record<string, OutcomeClass>, hundred: number, outcome: OutcomeClass | undefined): void {
  if (outcome === undefined) return;
  for (let code = hundred * 100; code < (hundred + 1) * 100; code++) statuses[code] = outcome;
}

function addExact(
  statuses: Record<string, OutcomeClass>,
  code: number | undefined,
  outcome: OutcomeClass | undefined,
  at: Place,
): void {
  if (code === undefined || outcome === undefined) return;
  if (statuses[code] !== undefined) at.refuse('is there twice, written in two ways');
  statuses[code] = outcome;
}
