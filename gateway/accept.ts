/** Accepting a message: checked, priced, held and durable before the client is told; produced right after. */
import { createHash } from 'node:crypto';
import { HoldCode, type HoldGroup, type HoldGroupReply, HoldOutcome } from '../shared/billing.ts';
import { AppError, toAppError } from '../shared/error.ts';
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
  /** Messages of batches on their way to a hold, and how many may be. */
  batches: { inflight: number; readonly inflightMax: number };
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

export function rememberBacklog({ backlog }: AcceptDeps, userId: string, open: number): void {
  backlog.delete(userId);
  backlog.set(userId, open);
  if (backlog.size > BACKLOG_ACCOUNTS_MAX) backlog.delete(backlog.keys().next().value as string);
}

const hashOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('base64url');

/**
 * Throws `unavailable`, `idempotency_conflict`, or `outcome_unknown` with the id to look it up by.
 * @param group without items it asks for the key's first answers, and nothing is held
 */
export async function holdGroup(deps: AcceptDeps, group: HoldGroup, express: boolean): Promise<HoldGroupReply> {
  const reply = await deps.holds.hold(group, express).catch((thrown) => {
    throw lostAnswer(toAppError(thrown), group);
  });
  if (reply.outcome !== HoldOutcome.CONFLICT) return reply;
  throw new AppError('idempotency_conflict', `This key was used with another ${nameOf(group)}.`);
}

const nameOf = ({ batch_id }: HoldGroup): string => (batch_id === '' ? 'message' : 'batch');

function lostAnswer(error: AppError, group: HoldGroup): AppError {
  const [item] = group.items;
  if (error.code !== 'outcome_unknown') return error;
  if (item === undefined)
    return new AppError('unavailable', 'The balances did not answer in time; this request charged nothing.', {
      cause: error,
    });
  return new AppError(
    'outcome_unknown',
    `The ${nameOf(group)} may have been accepted: look it up by its id, or repeat with the same Idempotency-Key.`,
    {
      cause: error,
      extra: group.batch_id === '' ? { message_id: item.message_id } : { batch_id: group.batch_id },
    },
  );
}

/** `value`: the event as it goes to Redis and to Kafka, made into bytes once. */
export type Prepared = { event: MessageEvent; value: Buffer; answer: Accepted };

export function prepare(
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

/**
 * @param body what the key stands for
 * @param refused of a keyed batch, what its answer has beside the items'
 */
export const groupOf = (
  userId: string,
  key: string,
  body: unknown,
  prepared: readonly Prepared[],
  batchId = '',
  refused = '',
): HoldGroup => ({
  user_id: userId,
  idempotency_key: key,
  body_hash: key === '' ? '' : hashOf(body),
  batch_id: batchId,
  refused,
  items: prepared.map(({ event, value, answer }) => ({
    message_id: event.id,
    price: event.price,
    valid_until: event.valid_until,
    event: value,
    answer: key === '' ? '' : JSON.stringify(answer),
  })),
});

export const refusalOf = (code: number): AppError =>
  code === HoldCode.INSUFFICIENT
    ? new AppError('insufficient_balance', 'The balance does not cover the price of this message.')
    : new AppError('unavailable', 'It took too long to reach the balances; nothing was charged.');

const isReplayed = ({ outcome }: HoldGroupReply): boolean => outcome === HoldOutcome.REPLAYED;

/** Accepts one message. Throws what the client is told; `outcome_unknown` carries the message_id. */
export async function accept(
  deps: AcceptDeps,
  userId: string,
  item: SendItem,
  key: string,
): Promise<{ answer: Accepted; replayed: boolean }> {
  let prepared: Prepared;
  try {
    prepared = prepare(deps, userId, item, Date.now(), 0);
  } catch (thrown) {
    // The rules may have taken it when the key was first used.
    const known = key === '' ? null : await holdGroup(deps, groupOf(userId, key, item, []), item.type === 'express');
    if (known === null || !isReplayed(known)) throw thrown;
    return { answer: JSON.parse(known.answers[0] as string), replayed: true };
  }
  const { event, value, answer } = prepared;
  const reply = await holdGroup(deps, groupOf(userId, key, item, [prepared]), event.type === 'express');
  if (isReplayed(reply)) {
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
