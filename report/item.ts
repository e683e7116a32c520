/** A message as it is answered. */
import { Type } from '@sinclair/typebox';
import { sql } from 'drizzle-orm';
import { idTimeMs } from '../shared/id.ts';
import { oneOf, Rials } from '../shared/openapi.ts';
import { STATUSES } from './filter.ts';
import { type HistoryStep, messages, type PartReceipt } from './schema.ts';

export const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);

export const Item = Type.Object({
  message_id: Type.String(),
  phone: nullable(Type.String({ description: 'E.164' })),
  text: nullable(Type.String()),
  type: nullable(oneOf(['express', 'normal'])),
  sender: nullable(Type.String()),
  status: oneOf(STATUSES),
  operator: Type.String({
    description: 'the operator that carried it last; before that, the one its number belongs to',
  }),
  encoding: nullable(oneOf(['gsm7', 'ucs2'])),
  pages: nullable(Type.Integer()),
  price: nullable(Rials('the price of all pages')),
  posted: Rials('what was spent on it'),
  attempts: Type.Integer({ description: 'submits that were decided' }),
  error: nullable(Type.String()),
  flags: Type.Array(Type.String(), {
    description:
      'perhaps_sent: refunded, yet the operator may have it; perhaps_double: sent again after an unknown; partial: some parts only; fallback, rerouted: another operator carried it',
  }),
  batch_id: nullable(Type.String()),
  client_ref: nullable(Type.String()),
  replay_of: nullable(Type.String({ description: 'the message that this one repeats' })),
  created_at: Type.String({ description: 'ISO 8601 UTC' }),
  updated_at: Type.String({ description: 'ISO 8601 UTC' }),
});

export const Step = Type.Object({
  at: Type.String({ description: 'ISO 8601 UTC' }),
  event: oneOf(STATUSES),
  attempt: nullable(Type.Integer()),
  operator: nullable(Type.String()),
  detail: nullable(Type.String({ description: 'the error; for a receipt the part that it is for' })),
  posted: nullable(Rials('what this step spent')),
});

/** The columns of an item; rows come in the order of ids, which is that of creation. */
export const itemColumns = {
  id: messages.id,
  phone: messages.phone,
  text: messages.text,
  type: messages.type,
  sender: messages.sender,
  status: messages.status,
  operator: messages.operator,
  encoding: messages.encoding,
  pages: messages.pages,
  price: messages.price,
  posted: messages.posted,
  attempts: messages.attempts,
  error: messages.error,
  flags: messages.flags,
  batch_id: messages.batch_id,
  client_ref: messages.client_ref,
  replay_of: messages.replay_of,
  updated_ms: sql<number>`(extract(epoch from ${messages.updated_at}) * 1000)::float8`.mapWith(Number),
};

export type ItemRow = {
  id: string;
  phone: string | null;
  text: string | null;
  type: 'express' | 'normal' | null;
  sender: string | null;
  status: (typeof STATUSES)[number];
  operator: string;
  encoding: 'gsm7' | 'ucs2' | null;
  pages: number | null;
  price: number | null;
  posted: number;
  attempts: number;
  error: string | null;
  flags: string[] | null;
  batch_id: string | null;
  client_ref: string | null;
  replay_of: string | null;
  updated_ms: number;
};

export function itemOf({ id, updated_ms, flags, ...rest }: ItemRow) {
  return {
    message_id: id,
    ...rest,
    flags: flags ?? [],
    created_at: new Date(idTimeMs(id)).toISOString(),
    updated_at: new Date(updated_ms).toISOString(),
  };
}

export type TimelineRow = Pick<ItemRow, 'id' | 'type' | 'status' | 'operator' | 'attempts' | 'posted' | 'error'> & {
  version: number;
  routed: string | null;
  decided_ms: number | null;
  history: Record<string, HistoryStep> | null;
  receipts: Record<string, PartReceipt> | null;
};

type Status = (typeof STATUSES)[number];
type TimelineStep = {
  event: Status;
  attempt: number | null;
  operator: string | null;
  detail: string | null;
  posted: number | null;
};
type Placed = { order: number; ms: number; step: TimelineStep };

const placed = (version: number, { s, a, o, p, e, at }: HistoryStep): Placed => ({
  order: version,
  ms: at,
  step: { event: s as Status, attempt: a, operator: o ?? null, detail: e ?? null, posted: p ?? 0 },
});

/** What happened to a message: `queued` once its event came, each decision in the order of versions, then the receipts. */
export function timelineOf(row: TimelineRow) {
  const { id, type, status, operator, attempts, posted, error, version, routed, decided_ms, history, receipts } = row;
  const steps = Object.entries(history ?? {}).map(([v, step]) => placed(Number(v), step));
  if (type !== null) {
    const step: TimelineStep = { event: 'queued', attempt: null, operator: routed, detail: null, posted: null };
    steps.push({ order: 0, ms: idTimeMs(id), step });
  }
  if (decided_ms !== null) {
    const decided = status === 'delivered' || status === 'undelivered' ? 'sent' : status;
    const standing = { s: decided, a: attempts, o: operator, p: posted, e: error ?? undefined, at: decided_ms };
    steps.push(placed(version, standing));
  }
  for (const [part, { s, e, at }] of Object.entries(receipts ?? {})) {
    const detail = e === undefined ? `part ${part}` : `part ${part}: ${e}`;
    const step: TimelineStep = { event: s, attempt: null, operator: null, detail, posted: null };
    steps.push({ order: Number.MAX_SAFE_INTEGER, ms: at, step });
  }
  return steps
    .sort((a, b) => a.order - b.order || a.ms - b.ms)
    .map(({ ms, step }) => ({ at: new Date(ms).toISOString(), ...step }));
}
