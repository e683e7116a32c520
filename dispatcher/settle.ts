/**
 * From a submit's outcome to its end: settle, then publish, then let the offset move.
 *
 *   settle   billing's record decides, with the money; lost here: the claim becomes unknown, the sweeper ends it
 *   publish  sms-status, and sms-dlq for a retry; lost here: the outcome outbox still has it, the sweeper publishes it
 *   done     the offset may pass; lost here: a redelivery meets the record and does nothing
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ClaimCode, type ClaimResult, Outcome, type SettleItem, type SettleResult } from '../shared/billing.ts';
import type { MessageFlag } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
import type { Producer } from '../shared/kafka-producer.ts';
import { errorFields, type Log } from '../shared/log.ts';
import { shareOf } from '../shared/money.ts';
import { TOPICS } from '../shared/topics.ts';
import type { SubmitOutcome } from './connector.ts';
import type { Records } from './records.ts';
import type { Work } from './work.ts';

/** `again`: the claim was undone and the message waits for another one here. */
export type Settled = 'ended' | 'again';

export type SettleDeps = {
  records: Records;
  producer: Producer;
  /** The slot whose sms-dlq partitions carry this message's retries. */
  slotOf: (work: Work) => number;
  /** True once the process stops: what cannot be settled is left to the sweeper. */
  stopping: () => boolean;
  log: Log;
};

const OUTCOME: Readonly<Record<SubmitOutcome['kind'], number>> = {
  accepted: Outcome.SENT,
  rejected: Outcome.REJECTED,
  transient: Outcome.TRANSIENT,
  throttled: Outcome.RELEASED,
  released: Outcome.RELEASED,
  unknown: Outcome.UNKNOWN,
};

/** The accepted parts' share of the price, Rials, rounded up; 0 stands for all of it. Pure. */
export function amountOf(outcome: SubmitOutcome, price: number): number {
  if (outcome.kind !== 'accepted' || outcome.acceptedParts >= outcome.parts) return 0;
  return shareOf(price, outcome.acceptedParts, outcome.parts);
}

function settleItem(work: Work, operator: string, outcome: SubmitOutcome): SettleItem {
  const { event, attempt } = work;
  const flags: MessageFlag[] = [];
  if (outcome.kind === 'accepted' && outcome.acceptedParts < outcome.parts) flags.push('partial');
  if (work.divertedFrom !== undefined) flags.push('fallback');
  if (work.reroutedFrom !== undefined) flags.push('rerouted');
  return {
    user_id: event.user_id,
    message_id: event.id,
    attempt,
    claim: work.claim,
    outcome: OUTCOME[outcome.kind],
    operator,
    operator_ids: 'operatorIds' in outcome ? outcome.operatorIds : [],
    amount: amountOf(outcome, event.price),
    error: 'error' in outcome ? outcome.error : (outcome.partError ?? ''),
    flags,
  };
}

const RETRY_MS = 250;
const RETRY_MAX_MS = 4_000;

/** Settles until billing answers: every try is the same, and the record takes it once. Null when the process stops first. */
async function settleUntilAnswered(
  { records, stopping, log }: SettleDeps,
  item: SettleItem,
): Promise<SettleResult | null> {
  for (let pauseMs = RETRY_MS; ; pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)) {
    try {
      return await records.settle(item);
    } catch (thrown) {
      log.warn('settle_failed', { message_id: item.message_id, ...errorFields(thrown) });
      if (stopping()) return null;
    }
    await delay(pauseMs);
  }
}

type Outgoing = { outcome: string; retry: string; retry_number: number; version: number };

/** Publishes what billing decided. A failure leaves it to the sweeper, which finds it unconfirmed. */
async function publish(
  { producer, records, slotOf, log }: SettleDeps,
  work: Work,
  { outcome, retry, retry_number, version }: Outgoing,
): Promise<void> {
  if (outcome === '') return;
  try {
    const status = producer.send({ topic: TOPICS.status, value: outcome });
    if (retry === '') await status;
    else
      await Promise.all([
        status,
        producer.send({ topic: TOPICS.dlq, value: retry, slot: slotOf(work), retry: retry_number }),
      ]);
    records.published({ user_id: work.event.user_id, message_id: work.event.id, version });
  } catch (thrown) {
    log.warn('publish_failed', { message_id: work.event.id, left_to: 'sweeper', ...errorFields(thrown) });
  }
}

/**
 * Undoes a claim, if it stands. The message's Kafka record is not done by that: it waits here for another claim, and should
 * this process die, the sweeper sees to it that the message comes again.
 */
export async function undoClaim(deps: SettleDeps, work: Work, operator: string): Promise<void> {
  await settleUntilAnswered(deps, settleItem(work, operator, { kind: 'released', error: '', linkFault: false }));
}

/** Settles and publishes one outcome; never rejects. */
export async function settleOutcome(
  deps: SettleDeps,
  work: Work,
  operator: string,
  outcome: SubmitOutcome,
): Promise<Settled> {
  const item = settleItem(work, operator, outcome);
  if (item.outcome === Outcome.RELEASED) {
    await undoClaim(deps, work, operator);
    return 'again';
  }
  const result = await settleUntilAnswered(deps, item);
  if (result === null) return 'ended';
  failpoint('dispatcher.after_settle');
  if (item.outcome !== Outcome.SENT) {
    deps.log.info('not_accepted', {
      message_id: item.message_id,
      operator,
      attempt: item.attempt,
      outcome: outcome.kind,
      error: item.error,
    });
  }
  await publish(deps, work, result);
  failpoint('dispatcher.after_publish');
  work.done();
  return 'ended';
}

/** A claim that is not a submit: what is decided or newer is published again, everything else is somebody else's. */
export async function passBy(deps: SettleDeps, work: Work, result: ClaimResult): Promise<void> {
  if (result.code === ClaimCode.DECIDED || result.code === ClaimCode.NEWER) await publish(deps, work, result);
  work.done();
}
