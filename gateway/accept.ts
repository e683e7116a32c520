/** Accepting messages: checked, priced, held and durable before the client is told; produced right after. */
import { createHash } from 'node:crypto';
import { HoldCode, type HoldGroup, type HoldGroupReply, HoldOutcome } from '../shared/billing.ts';
import { AppError, type ErrorCode, toAppError } from '../shared/error.ts';
import type { MessageEvent } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
import { newId } from '../shared/id.ts';
import type { Holds } from './holds.ts';
import { composeMessage, type Rules, type SendItem } from './message.ts';
import type { Production } from './production.ts';

export type AcceptDeps = {
  rules: () => Rules;
  holds: Holds;
  production: Production;
  /** Messages that an account had undecided at its last hold: past a bound its normal messages overflow into the lower lane. */
  backlog: Map<string, number>;
  /** How many that are for an operator. */
  overflowAfter: (operator: string) => number;
  inflightMax: number;
  inflight: { messages: number };
};

/** The answer to an accepted message. */
export type Accepted = {
  message_id: string;
  status: 'queued';
  user_id: string;
  operator: string;
  encoding: 'gsm7' | 'ucs2';
  pages: number;
  price: number;
};

const answerOf = (event: MessageEvent): Accepted => ({
  message_id: event.id,
  status: 'queued',
  user_id: event.user_id,
  operator: event.operator,
  encoding: event.encoding,
  pages: event.pages,
  price: event.price,
});

const BACKLOG_ACCOUNTS_MAX = 10_000;

/** A campaign delays campaigns: an account with a large backlog takes the lower lane for its normal messages. */
function chooseLane(deps: AcceptDeps, event: MessageEvent, ahead: number): void {
  if (event.type !== 'normal') return;
  const backlog = (deps.backlog.get(event.user_id) ?? 0) + ahead;
  if (backlog >= deps.overflowAfter(event.operator)) event.lane = 'bulk';
}

function rememberBacklog({ backlog }: AcceptDeps, userId: string, open: number): void {
  backlog.delete(userId);
  backlog.set(userId, open);
  if (backlog.size > BACKLOG_ACCOUNTS_MAX) backlog.delete(backlog.keys().next().value as string);
}

const hashOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('base64url');

async function holdGroup(deps: AcceptDeps, group: HoldGroup, express: boolean): Promise<HoldGroupReply> {
  const count = group.items.length;
  if (deps.inflight.messages + count > deps.inflightMax) {
    throw new AppError('unavailable', 'Too many requests are on their way at the moment; nothing was charged.');
  }
  deps.inflight.messages += count;
  try {
    return await deps.holds.hold(group, express);
  } finally {
    deps.inflight.messages -= count;
  }
}

/** `value`: the event as it goes to Redis and to Kafka, made into bytes once. */
type Prepared = { event: MessageEvent; value: Buffer; answer: Accepted };

function prepare(
  deps: AcceptDeps,
  userId: string,
  item: SendItem,
  nowMs: number,
  ahead: number,
  batchId?: string,
): Prepared {
  const event = composeMessage(deps.rules(), userId, item, newId(nowMs), nowMs);
  if (batchId !== undefined) event.batch_id = batchId;
  chooseLane(deps, event, ahead);
  return { event, value: Buffer.from(JSON.stringify(event)), answer: answerOf(event) };
}

const groupOf = (
  userId: string,
  key: string,
  hash: string,
  batchId: string,
  prepared: readonly Prepared[],
): HoldGroup => ({
  user_id: userId,
  idempotency_key: key,
  body_hash: hash,
  batch_id: batchId,
  items: prepared.map(({ event, value, answer }) => ({
    message_id: event.id,
    price: String(event.price),
    valid_until: String(event.valid_until),
    event: value,
    answer: key === '' ? '' : JSON.stringify(answer),
  })),
});

const refusalOf = (code: number): AppError =>
  code === HoldCode.INSUFFICIENT
    ? new AppError('insufficient_balance', 'The balance does not cover the price of this message.')
    : new AppError('unavailable', 'It took too long to reach the balances; nothing was charged.');

/** Accepts one message. Throws what the client is told; `outcome_unknown` carries the message_id. */
export async function accept(
  deps: AcceptDeps,
  userId: string,
  item: SendItem,
  key: string,
): Promise<{ answer: Accepted; replayed: boolean }> {
  const prepared = prepare(deps, userId, item, Date.now(), 0);
  const { event, value, answer } = prepared;
  const group = groupOf(userId, key, key === '' ? '' : hashOf(item), '', [prepared]);
  const reply = await holdGroup(deps, group, event.type === 'express').catch((thrown) => {
    const error = toAppError(thrown);
    if (error.code !== 'outcome_unknown') throw error;
    throw new AppError(
      'outcome_unknown',
      'The message may have been accepted: look it up by its id, or repeat with the same Idempotency-Key.',
      {
        cause: error,
        extra: { message_id: event.id },
      },
    );
  });
  if (reply.outcome === HoldOutcome.CONFLICT)
    throw new AppError('idempotency_conflict', 'This key was used with another message.');
  if (reply.outcome === HoldOutcome.REPLAYED) {
    const first = JSON.parse(reply.answers[0] as string) as Accepted;
    // Our own repeated call meets its own key: that is no replay, and its message still has to be produced.
    if (first.message_id !== event.id) return { answer: first, replayed: true };
  } else {
    const code = reply.codes[0] as number;
    if (code !== HoldCode.OK) throw refusalOf(code);
    rememberBacklog(deps, userId, reply.open);
  }
  failpoint('gateway.after_hold');
  deps.production.produce(event, value);
  return { answer, replayed: false };
}

export type ItemResult =
  | Accepted
  | { error: { code: ErrorCode; detail: string; errors?: { field: string; detail: string }[] } };
export type BatchAnswer = { batch_id: string; accepted: number; refused: number; results: ItemResult[] };

const asResult = (error: AppError): ItemResult => ({
  error: { code: error.code, detail: error.message, ...(error.fields.length > 0 ? { errors: [...error.fields] } : {}) },
});

/** Like newId's order, each of a batch's messages is composed on its own: what one is refused for is not another's trouble. */
function prepareAll(
  deps: AcceptDeps,
  userId: string,
  items: readonly unknown[],
  check: (item: unknown) => SendItem,
  batchId: string,
) {
  const nowMs = Date.now();
  let ahead = 0;
  return items.map((item): Prepared | AppError => {
    try {
      const prepared = prepare(deps, userId, check(item), nowMs, ahead, batchId);
      ahead += 1;
      return prepared;
    } catch (thrown) {
      const error = toAppError(thrown);
      if (error.code === 'internal') throw error;
      return error;
    }
  });
}

/**
 * Accepts up to 1,000 messages of one account in one hold; each has its own result, in order.
 * @param check answers a message that fits the schema, or throws `invalid_request`
 */
export async function acceptBatch(
  deps: AcceptDeps,
  userId: string,
  items: readonly unknown[],
  key: string,
  check: (item: unknown) => SendItem,
): Promise<{ answer: BatchAnswer; replayed: boolean }> {
  const batchId = newId();
  const composed = prepareAll(deps, userId, items, check, batchId);
  const prepared = composed.filter((entry): entry is Prepared => !(entry instanceof AppError));
  let reply: HoldGroupReply | null = null;
  if (prepared.length > 0) {
    reply = await holdGroup(
      deps,
      groupOf(userId, key, key === '' ? '' : hashOf(items), batchId, prepared),
      false,
    ).catch((thrown) => {
      const error = toAppError(thrown);
      if (error.code !== 'outcome_unknown') throw error;
      throw new AppError(
        'outcome_unknown',
        'The batch may have been accepted: look it up by its id, or repeat with the same Idempotency-Key.',
        {
          cause: error,
          extra: { batch_id: batchId },
        },
      );
    });
    if (reply.outcome === HoldOutcome.CONFLICT)
      throw new AppError('idempotency_conflict', 'This key was used with another batch.');
  }
  const replayed = reply?.outcome === HoldOutcome.REPLAYED && reply.batch_id !== batchId;
  const own = reply?.outcome === HoldOutcome.REPLAYED && !replayed;
  let place = 0;
  const results = composed.map((entry): ItemResult => {
    if (entry instanceof AppError) return asResult(entry);
    const i = place++;
    if (reply?.outcome === HoldOutcome.REPLAYED) {
      const first = reply.answers[i] as string;
      if (first === '') return asResult(refusalOf(HoldCode.INSUFFICIENT));
      if (own) deps.production.produce(entry.event, entry.value);
      return JSON.parse(first) as Accepted;
    }
    const code = reply?.codes[i] as number;
    if (code !== HoldCode.OK) return asResult(refusalOf(code));
    deps.production.produce(entry.event, entry.value);
    return entry.answer;
  });
  if (reply && reply.open > 0) rememberBacklog(deps, userId, reply.open);
  const accepted = results.filter((result) => 'message_id' in result).length;
  return {
    answer: {
      batch_id: replayed ? (reply?.batch_id as string) : batchId,
      accepted,
      refused: results.length - accepted,
      results,
    },
    replayed,
  };
}
