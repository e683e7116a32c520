/**
 * How the values of a column reach PostgreSQL: as an element of an array argument in its own text notation (upsert.ts), or as a field
 * of a copied row (copy.ts).
 */
import type { BinaryRows } from './binary-rows.ts';

export type Cell = string | number | readonly string[] | null;

type Kind = {
  /** The type of an array argument's elements. */
  argument: string;
  /** How the column is made of the argument, where not as it is. */
  made?: (name: string) => string;
  /** A value as an element of the argument. */
  element: (value: never) => string;
  /** What writes a value as a field; it throws RangeError when the column cannot hold it. */
  field: (rows: BinaryRows) => (value: never) => void;
};

const MEANING = /["\\]/g;
const hasMeaning = (item: string): boolean => item.includes('"') || item.includes('\\');
/** A text among an array's elements, where characters such as commas have a meaning. */
const quote = (item: string): string => (hasMeaning(item) ? `"${item.replace(MEANING, '\\$&')}"` : `"${item}"`);

/** Texts in PostgreSQL's own array notation, as an argument that is cast `::text::text[]`: the driver's own writing of a list costs several times as much. */
export const textArray = (items: readonly string[]): string => `{${items.map(quote).join(',')}}`;

const number = (type: string, field: Kind['field']): Kind => ({ argument: type, element: String, field });
const label = (type: string): Kind => ({
  argument: type,
  element: (value: string) => value,
  field: (rows) => rows.text,
});

const KINDS = {
  uuid: { argument: 'uuid', element: (value: string) => value, field: (rows) => rows.uuid },
  text: { argument: 'text', element: quote, field: (rows) => rows.text },
  smallint: number('smallint', (rows) => rows.int16),
  integer: number('integer', (rows) => rows.int32),
  bigint: number('bigint', (rows) => rows.int64),
  /** Epoch milliseconds. */
  instant: {
    argument: 'bigint',
    made: (name) => `to_timestamp(${name}::float8 / 1000)`,
    element: String,
    field: (rows) => rows.instant,
  },
  /** A list of texts; an array of arrays would have to be as wide in each. */
  texts: {
    argument: 'text',
    made: (name) => `${name}::text[]`,
    element: (value: readonly string[]) => quote(textArray(value)),
    field: (rows) => rows.texts,
  },
  /** JSON as its text. */
  jsonb: { argument: 'jsonb', element: quote, field: (rows) => rows.jsonb },
  message_type: label('message_type'),
  message_lane: label('message_lane'),
  message_encoding: label('message_encoding'),
  message_status: label('message_status'),
} satisfies Record<string, Kind>;

export type KindName = keyof typeof KINDS;
export const kindOf = (name: KindName): Kind => KINDS[name] as Kind;
