/**
 * The columns of a patch, as arguments of the hot statement (upsert.ts): of each shape one array a column, one element a patch, in
 * PostgreSQL's own notation.
 *
 * A patch has one of three shapes: the `queued` event alone, decisions and receipts alone, or both; each shape is an insert
 * with its own columns only, since what PostgreSQL reads costs as much as what it writes.
 */
import { idTimeMs } from '../shared/id.ts';
import { expectedParts, historyJson, lastAt, type Patch, receiptsJson, shownStatus } from './fold.ts';

type Cell = string | number | null;
export type Column = {
  name: string;
  /** The type of the argument's elements; an array's own notation is text. */
  type: string;
  /** How the column is made of the argument, where not as it is. */
  from?: string;
  read: (patch: Patch) => Cell;
  /** The elements may hold characters that PostgreSQL's array notation gives a meaning. */
  quoted?: boolean;
};

/** A list of texts in PostgreSQL's own array notation; null when it is empty. */
function arrayLiteral(items: readonly string[] | undefined): string | null {
  return items === undefined || items.length === 0 ? null : `{${items.map(quote).join(',')}}`;
}

const MEANING = /["\\]/g;
const hasMeaning = (item: string): boolean => item.includes('"') || item.includes('\\');
const quote = (item: string): string => (hasMeaning(item) ? `"${item.replace(MEANING, '\\$&')}"` : `"${item}"`);

const instant = (name: string): string => `to_timestamp(${name}::float8 / 1000)`;

const KEY: readonly Column[] = [
  { name: 'id', type: 'uuid', read: (p) => p.id },
  { name: 'user_id', type: 'text', quoted: true, read: (p) => p.user_id },
  { name: 'created_at', type: 'bigint', from: instant('created_at'), read: (p) => idTimeMs(p.id) },
  { name: 'updated_at', type: 'bigint', from: instant('updated_at'), read: lastAt },
];

/** What the `queued` event alone brings: the first to come stays. */
export const QUEUED: readonly Column[] = [
  { name: 'phone', type: 'text', quoted: true, read: (p) => p.message?.phone ?? null },
  { name: 'text', type: 'text', quoted: true, read: (p) => p.message?.text ?? null },
  { name: 'type', type: 'message_type', read: (p) => p.message?.type ?? null },
  { name: 'lane', type: 'message_lane', read: (p) => p.message?.lane ?? null },
  { name: 'sender', type: 'text', quoted: true, read: (p) => p.message?.sender ?? null },
  { name: 'encoding', type: 'message_encoding', read: (p) => p.message?.encoding ?? null },
  { name: 'pages', type: 'smallint', read: (p) => p.message?.pages ?? null },
  { name: 'price', type: 'bigint', read: (p) => p.message?.price ?? null },
  { name: 'batch_id', type: 'uuid', read: (p) => p.message?.batch_id ?? null },
  { name: 'client_ref', type: 'text', quoted: true, read: (p) => p.message?.client_ref ?? null },
  { name: 'replay_of', type: 'uuid', read: (p) => p.message?.replay_of ?? null },
  { name: 'routed', type: 'text', quoted: true, read: (p) => p.message?.operator ?? null },
];

/** What goes with the decision that stands. */
export const DECIDED: readonly Column[] = [
  { name: 'version', type: 'integer', read: (p) => p.decision?.version ?? 0 },
  { name: 'attempts', type: 'smallint', read: (p) => p.decision?.attempt ?? 0 },
  { name: 'posted', type: 'bigint', read: (p) => p.decision?.posted ?? 0 },
  { name: 'error', type: 'text', quoted: true, read: (p) => p.decision?.error ?? null },
  { name: 'flags', type: 'text', from: 'flags::text[]', quoted: true, read: (p) => arrayLiteral(p.decision?.flags) },
  { name: 'decided_at', type: 'bigint', from: instant('decided_at'), read: (p) => p.decision?.at ?? null },
];

/** What is merged in a way of its own. */
const STATE: readonly Column[] = [
  {
    name: 'status',
    type: 'message_status',
    read: (p) => shownStatus(p.decision?.status ?? 'queued', p.receipts?.values() ?? [], expectedParts(p)),
  },
  { name: 'operator', type: 'text', quoted: true, read: (p) => p.decision?.operator || p.message?.operator || '' },
  {
    name: 'operator_ids',
    type: 'text',
    from: 'operator_ids::text[]',
    quoted: true,
    read: (p) => arrayLiteral(p.decision?.operator_ids),
  },
  { name: 'history', type: 'jsonb', quoted: true, read: historyJson },
  { name: 'receipts', type: 'jsonb', quoted: true, read: receiptsJson },
];

export type Shape = { columns: readonly Column[]; constants: string; takes: (patch: Patch) => boolean };
const tells = (patch: Patch): boolean => patch.decision !== null || patch.receipts !== null;
export const SHAPES: readonly Shape[] = [
  {
    columns: [...KEY, ...QUEUED],
    constants: `status, operator, version, attempts, posted) SELECT *, 'queued', routed, 0, 0, 0`,
    takes: (patch) => patch.message !== null && !tells(patch),
  },
  { columns: [...KEY, ...DECIDED, ...STATE], constants: '', takes: (patch) => patch.message === null },
  {
    columns: [...KEY, ...QUEUED, ...DECIDED, ...STATE],
    constants: '',
    takes: (patch) => patch.message !== null && tells(patch),
  },
];

/** A column of the patches in array notation. */
export function argumentOf({ read, quoted }: Column, patches: readonly Patch[]): string {
  const cells = patches.map((patch) => {
    const cell = read(patch);
    return cell === null ? 'NULL' : quoted ? quote(cell as string) : cell;
  });
  return `{${cells.join(',')}}`;
}
