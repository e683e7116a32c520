/**
 * The columns of a patch, as upsert.ts and copy.ts write them.
 *
 * A patch has one of three shapes: the `queued` event alone, decisions and receipts alone, or both; each shape is an insert
 * with its own columns only, since what PostgreSQL reads costs as much as what it writes.
 */
import { idTimeMs } from '../shared/id.ts';
import { type Cell, type KindName, kindOf } from './column-kinds.ts';
import { expectedParts, historyJson, lastAt, type Patch, receiptsJson, shownStatus } from './fold.ts';

export type Column = { name: string; kind: KindName; read: (patch: Patch) => Cell };

/** What a patch shows: the decision and, once sent, what its receipts say. */
export function statusOf(p: Patch) {
  const decided = p.decision?.status ?? 'queued';
  return p.receipts === null ? decided : shownStatus(decided, p.receipts.values(), expectedParts(p));
}

/** The operator that carried it last, or else that its number belongs to; '' while neither is known. */
export const operatorOf = (p: Patch): string => p.decision?.operator || p.message?.operator || '';

/** A list as a column keeps it: null where it is empty. */
const listOrNull = (items: readonly string[] | undefined): readonly string[] | null =>
  items === undefined || items.length === 0 ? null : items;

const KEY: readonly Column[] = [
  { name: 'id', kind: 'uuid', read: (p) => p.id },
  { name: 'user_id', kind: 'text', read: (p) => p.user_id },
  { name: 'created_at', kind: 'instant', read: (p) => idTimeMs(p.id) },
  { name: 'updated_at', kind: 'instant', read: lastAt },
];

/** What the `queued` event alone brings: the first to come stays. */
export const QUEUED: readonly Column[] = [
  { name: 'phone', kind: 'text', read: (p) => p.message?.phone ?? null },
  { name: 'text', kind: 'text', read: (p) => p.message?.text ?? null },
  { name: 'type', kind: 'message_type', read: (p) => p.message?.type ?? null },
  { name: 'lane', kind: 'message_lane', read: (p) => p.message?.lane ?? null },
  { name: 'sender', kind: 'text', read: (p) => p.message?.sender ?? null },
  { name: 'encoding', kind: 'message_encoding', read: (p) => p.message?.encoding ?? null },
  { name: 'pages', kind: 'smallint', read: (p) => p.message?.pages ?? null },
  { name: 'price', kind: 'bigint', read: (p) => p.message?.price ?? null },
  { name: 'batch_id', kind: 'uuid', read: (p) => p.message?.batch_id ?? null },
  { name: 'client_ref', kind: 'text', read: (p) => p.message?.client_ref ?? null },
  { name: 'replay_of', kind: 'uuid', read: (p) => p.message?.replay_of ?? null },
  { name: 'routed', kind: 'text', read: (p) => p.message?.operator ?? null },
];

/** What goes with the decision that stands. */
export const DECIDED: readonly Column[] = [
  { name: 'version', kind: 'integer', read: (p) => p.decision?.version ?? 0 },
  { name: 'attempts', kind: 'smallint', read: (p) => p.decision?.attempt ?? 0 },
  { name: 'posted', kind: 'bigint', read: (p) => p.decision?.posted ?? 0 },
  { name: 'error', kind: 'text', read: (p) => p.decision?.error ?? null },
  { name: 'flags', kind: 'texts', read: (p) => listOrNull(p.decision?.flags) },
  { name: 'decided_at', kind: 'instant', read: (p) => p.decision?.at ?? null },
];

/** What is merged in a way of its own. */
const STATE: readonly Column[] = [
  { name: 'status', kind: 'message_status', read: statusOf },
  { name: 'operator', kind: 'text', read: operatorOf },
  { name: 'operator_ids', kind: 'texts', read: (p) => listOrNull(p.decision?.operator_ids) },
  { name: 'history', kind: 'jsonb', read: historyJson },
  { name: 'receipts', kind: 'jsonb', read: receiptsJson },
];

const tells = (patch: Patch): boolean => patch.decision !== null || patch.receipts !== null;

/** Of a patch with its `queued` event and what became of it. */
export const WHOLE: readonly Column[] = [...KEY, ...QUEUED, ...DECIDED, ...STATE];

export type Shape = { columns: readonly Column[]; constants: string; takes: (patch: Patch) => boolean };
export const SHAPES: readonly Shape[] = [
  {
    columns: [...KEY, ...QUEUED],
    constants: `status, operator, version, attempts, posted) SELECT *, 'queued', routed, 0, 0, 0`,
    takes: (patch) => patch.message !== null && !tells(patch),
  },
  { columns: [...KEY, ...DECIDED, ...STATE], constants: '', takes: (patch) => patch.message === null },
  { columns: WHOLE, constants: '', takes: (patch) => patch.message !== null && tells(patch) },
];

/** A column of the patches as an array argument, in PostgreSQL's own notation. */
export function argumentOf({ read, kind }: Column, patches: readonly Patch[]): string {
  const { element } = kindOf(kind);
  const cells = patches.map((patch) => {
    const cell = read(patch);
    return cell === null ? 'NULL' : element(cell as never);
  });
  return `{${cells.join(',')}}`;
}
