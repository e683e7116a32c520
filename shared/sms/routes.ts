/** Which operator carries a number: a ported number's operator, else the one with the longest prefix. */
import type { OperatorsFile } from './operators.ts';

export type Routes = {
  /** E.164 → operator, before every prefix. */
  readonly ported: ReadonlyMap<string, string>;
  readonly operators: readonly string[];
  /** By the four digits after the leading 9: the operator's place in `operators` and one more; 0 where there is no route. */
  readonly table: Uint8Array;
};

/** A prefix has up to 5 digits, the first of them 9: four are left to look up. */
const PREFIX_DIGITS_MAX = 5;
const TABLE_SIZE = 10 ** (PREFIX_DIGITS_MAX - 1);

export function buildRoutes(file: OperatorsFile): Routes {
  const table = new Uint8Array(TABLE_SIZE);
  const prefixes = file.operators.flatMap((operator, at) => operator.prefixes.map((prefix) => ({ prefix, at })));
  // Short ones first: a longer prefix then overwrites its part of their range.
  prefixes.sort((a, b) => a.prefix.length - b.prefix.length);
  for (const { prefix, at } of prefixes) {
    const span = 10 ** (PREFIX_DIGITS_MAX - prefix.length);
    const from = Number(prefix.slice(1)) * span;
    table.fill(at + 1, from, from + span);
  }
  return { ported: file.portedNumbers, operators: file.operators.map((operator) => operator.name), table };
}

/**
 * @param e164 as `parsePhone` answers it
 * @returns the operator's name; null when nobody carries the number (`no_route`)
 */
export function operatorOf(routes: Routes, e164: string): string | null {
  if (routes.ported.size > 0) {
    const ported = routes.ported.get(e164);
    if (ported !== undefined) return ported;
  }
  let index = 0;
  for (let i = 4; i < 8; i++) index = index * 10 + (e164.charCodeAt(i) - 48);
  const place = routes.table[index];
  return place ? (routes.operators[place - 1] as string) : null;
}
