/** A message as it is answered. */
import { Type } from '@sinclair/typebox';
import { sql } from 'drizzle-orm';
import { Rials } from '../shared/http.ts';
import { idTimeMs } from '../shared/id.ts';
import { STATUSES } from './filter.ts';
import { type HistoryStep, messages, type PartReceipt } from './schema.ts';

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

export const Item = Type.Object({
  message_id: Type.String(),
  phone: nullable(Type.String({ description: 'E.164' })),
  text: nullable(Type.String()),
  type: nullable(Type.Union([Type.Literal('express'), Type.Literal('normal')])),
  sender: nullable(Type.String()),
  status: Type.Union(STATUSES.map((status) => Type.Literal(status))),
  operator: Type.String({
    description: 'the operator that carried it last; before that, the one its number belongs to',
  }),
  encoding: nullable(Type.Union([Type.Literal('gsm7'), Type.Literal('ucs2')])),
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
  event: Type.Union(STATUSES.map((status) => Type.Literal(status))),
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

export type TimelineRow = {
  id: string;
  type: string | null;
  routed: string | null;
  history: Record<string, HistoryStep> | null;
  receipts: Record<string, PartReceipt> | null;
};

/** What happened to a message, in the order of time; `queued` is there once its event came. */
export function timelineOf({ id, type, routed, history, receipts }: TimelineRow) {
  const steps = Object.entries(history ?? {}).map(([version, { s, a, o, p, e, at }]) => ({
    order: Number(version),
    ms: at,
    step: {
      event: s,
      attempt: a as number | null,
      operator: o ?? null,
      detail: e ?? null,
      posted: (p ?? 0) as number | null,
    },
  }));
  for (const [part, { s, e, at }] of Object.entries(receipts ?? {})) {
    const detail = e === undefined ? `part ${part}` : `part ${part}: ${e}`;
    steps.push({
      order: Number.MAX_SAFE_INTEGER,
      ms: at,
      step: { event: s, attempt: null, operator: null, detail, posted: null },
    });
  }
  if (type !== null) {
    const step = { event: 'queued', attempt: null, operator: routed, detail: null, posted: null };
    steps.push({ order: 0, ms: idTimeMs(id), step });
  }
  return steps
    .sort((a, b) => a.order - b.order || a.ms - b.ms)
    .map(({ ms, step }) => ({ at: new Date(ms).toISOString(), ...step }));
}
