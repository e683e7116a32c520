/** A message's record in Redis, by the names of its fields. */

import { RECORD_FIELDS } from '../../billing/scripts.ts';

export type RecordField = (typeof RECORD_FIELDS)[number];
export type RecordText = Record<RecordField, string>;

/** Where each field stands. */
export const FIELD_AT = Object.fromEntries(RECORD_FIELDS.map((name, i) => [name, i])) as Record<RecordField, number>;

/** A record's unpacked values under their names, as texts. Throws when it has more or fewer. */
export function namedRecord(values: readonly unknown[]): RecordText {
  if (values.length !== RECORD_FIELDS.length) throw new Error(`a record of ${values.length} fields`);
  return Object.fromEntries(RECORD_FIELDS.map((name, i) => [name, String(values[i])])) as RecordText;
}
