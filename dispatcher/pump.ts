/**
 * One operator's pump: from its queue to its connector, as fast as window, rate and breaker allow.
 *
 * A message is claimed only for a free window slot, plus what covers one claim's round trip: whatever is claimed when the
 * process dies becomes `unknown`. A claim is good for CLAIM_GOOD_MS by this process' monotonic clock; one that waited longer
 * is handed back and claimed anew before it is submitted.
 */

import { ClaimCode, type ClaimResult } from '../shared/billing.ts';
import { AppError } from '../shared/error.ts';
import { failpoint } from '../shared/failpoint.ts';
import { errorFields, type Log } from '../shared/log.ts';
import type { OperatorSettings } from '../shared/sms/operators.ts';
import type { Lane } from '../shared/topics.ts';
import type { Breaker } from './breaker.ts';
import type { Connector, SubmitOutcome } from './connector.ts';
import { createFifo, createLaneQueue } from './queue.ts';
import type { Rate } from './rate.ts';
import type { Records } from './records.ts';
import type { Settled } from './settle.ts';
import type { Work } from './work.ts';

/** Less than the shortest claim ttl by more than the longest submit. */
export const CLAIM_GOOD_MS = 3_000;
/** Claims ahead of the window: at least, and at most so many windows. */
const COVER_MIN = 8;
const COVER_WINDOWS_MAX = 4;
const RETRY_CLAIM_MS = 250;

export type Counters = Record<'accepted' | 'rejected' | 'transient' | 'throttled' | 'unknown' | 'released', number>;

export type PumpDeps = {
  settings: OperatorSettings;
  connector: Connector;
  rate: Rate;
  breaker: Breaker;
  records: Records;
  /** Settles an outcome, publishes it and ends the work; never rejects. */
  settle: (work: Work, operator: string, outcome: SubmitOutcome) => Promise<Settled>;
  /** Undoes a claim; never rejects. */
  undo: (work: Work, operator: string) => Promise<void>;
  /** A claim's answer that is not a submit: decided, gone, busy, newer or early. */
  notClaimed: (work: Work, result: ClaimResult) => void;
  /** Told when a lane's queue shrank: partitions may be resumed. */
  onDrained: (lane: Lane, length: number) => void;
  onSubmitted: (operator: string, lane: Lane, outcome: SubmitOutcome, seconds: number) => void;
  log: Log;
};

export type PumpState = { queued: Record<Lane, number>; claimed: number; claiming: number; submitting: number };

export type Pump = {
  readonly name: string;
  readonly connector: Connector;
  push(lane: Lane, work: Work): void;
  queued(lane: Lane): number;
  /** Something changed: a slot, a token, a link. */
  wake(): void;
  state(): PumpState;
  counters: Counters;
  /**
   * Stops claiming, hands back what is claimed and not submitted, waits for what is submitted (at most the connector's
   * timeout), and answers what is left to do.
   */
  close(): Promise<Queued[]>;
};

export type Queued = { lane: Lane; work: Work };
type Claimed = { work: Work; lane: Lane; at: number };

export function createPump(deps: PumpDeps): Pump {
  const { settings, connector, rate, breaker, records, log } = deps;
  const queue = createLaneQueue<Work>();
  const ready = { express: createFifo<Claimed>(), others: createFifo<Claimed>() };
  const counters: Counters = { accepted: 0, rejected: 0, transient: 0, throttled: 0, unknown: 0, released: 0 };
  let claiming = 0;
  let submitting = 0;
  let othersSubmitting = 0;
  let closed = false;
  const left: Queued[] = [];
  const tasks = new Set<Promise<void>>();
  const track = (task: Promise<void>): void => {
    tasks.add(task);
    void task.finally(() => tasks.delete(task));
  };
  let restUntil = 0;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let submitted = 0;
  let submittedSince = performance.now();
  let perMs = 0;
  const onUnknown = (lane: Lane) => settings.onUnknown[lane === 'express' ? 'express' : 'normal'];
  const othersMax = Math.max(1, Math.floor(connector.windowSize * (1 - settings.expressShare)));

  /** What one claim's round trip submits meanwhile, by the rate of the last seconds. */
  const cover = (now: number): number => {
    const elapsed = now - submittedSince;
    if (elapsed > 500) {
      perMs = submitted / elapsed;
      submitted = 0;
      submittedSince = now;
    }
    const wanted = Math.ceil(perMs * records.claimMs * 1.5) + COVER_MIN;
    return Math.min(wanted, connector.windowSize * COVER_WINDOWS_MAX);
  };

  const later = (ms: number): void => {
    if (timer !== null || closed) return;
    timer = setTimeout(
      () => {
        timer = null;
        wake();
      },
      Math.max(1, ms),
    );
  };

  const submitOne = async ({ work, lane, at }: Claimed): Promise<void> => {
    const { event, attempt } = work;
    const startedAt = performance.now();
    const outcome: SubmitOutcome =
      startedAt - at > CLAIM_GOOD_MS
        ? { kind: 'released', error: 'claim_aged', linkFault: false }
        : await connector.submit({
            messageId: event.id,
            attempt,
            to: event.phone,
            from: event.sender,
            text: event.text,
            encoding: event.encoding,
            pages: event.pages,
            lane,
            validUntil: event.valid_until,
          });
    failpoint('dispatcher.after_submit');
    const now = performance.now();
    submitting -= 1;
    submitted += 1;
    if (lane !== 'express') othersSubmitting -= 1;
    counters[outcome.kind] += 1;
    if (outcome.kind !== 'released') breaker.record(now, outcome.linkFault);
    if (outcome.kind === 'throttled') rate.throttled(now, outcome.retryAfterMs ?? 0);
    if (outcome.kind === 'released') rate.giveBack(1);
    deps.onSubmitted(settings.name, lane, outcome, (now - startedAt) / 1_000);
    wake();
    const settled = await deps.settle(work, settings.name, outcome);
    // A message that was handed back waits here for its next claim, at the front.
    if (settled === 'again') putBack(lane, work);
  };

  const putBack = (lane: Lane, work: Work): void => {
    if (closed) left.push({ lane, work });
    else {
      queue.unshift(lane, work);
      wake();
    }
  };

  const submitReady = (now: number): void => {
    if (closed) return;
    const allowance = breaker.allowance(now);
    for (;;) {
      if (connector.free <= 0 || submitting >= allowance) return;
      const express = ready.express.length > 0;
      if (!express && (ready.others.length === 0 || othersSubmitting >= othersMax)) return;
      const next = (express ? ready.express : ready.others).shift() as Claimed;
      submitting += 1;
      if (next.lane !== 'express') othersSubmitting += 1;
      track(submitOne(next));
    }
  };

  const claimOne = async (lane: Lane, work: Work): Promise<void> => {
    claiming += 1;
    const { event, attempt } = work;
    const at = performance.now();
    failpoint('dispatcher.before_claim');
    try {
      const result = await records.claim({
        user_id: event.user_id,
        message_id: event.id,
        attempt,
        operator: settings.name,
        resend_unknown: onUnknown(lane) === 'resend',
        unknown_wait_ms: settings.unknownWaitMs,
      });
      if (result.code === ClaimCode.CLAIMED) {
        failpoint('dispatcher.after_claim');
        (lane === 'express' ? ready.express : ready.others).push({ work, lane, at });
      } else {
        rate.giveBack(1);
        deps.notClaimed(work, result);
      }
    } catch (thrown) {
      rate.giveBack(1);
      restUntil = performance.now() + RETRY_CLAIM_MS;
      log.debug('claim_failed', { message_id: event.id, ...errorFields(thrown) });
      // A claim whose answer was lost may be ours: it is handed back before it is asked for again.
      if (!(thrown instanceof AppError && thrown.code === 'unavailable')) {
        await deps.undo(work, settings.name);
      }
      putBack(lane, work);
    } finally {
      claiming -= 1;
      wake();
    }
  };

  const claimMore = (now: number): void => {
    if (closed || !connector.ready || now < restUntil) return;
    const allowance = breaker.allowance(now);
    const target = Math.min(connector.windowSize + cover(now), allowance);
    let room = Math.min(
      target - submitting - claiming - ready.express.length - ready.others.length,
      rate.available(now),
    );
    while (room > 0) {
      const othersAhead = othersSubmitting + ready.others.length;
      const next = queue.take(othersAhead < othersMax + cover(now));
      if (next === null) return;
      room -= 1;
      rate.take(now, 1);
      deps.onDrained(next.lane, queue.lengthOf(next.lane));
      track(claimOne(next.lane, next.item));
    }
  };

  const wake = (): void => {
    const now = performance.now();
    submitReady(now);
    claimMore(now);
    if (queue.length === 0 && ready.express.length + ready.others.length === 0) return;
    const wait = Math.max(rate.waitMs(now), breaker.waitMs(now), restUntil - now);
    if (wait > 0) later(wait);
  };

  /** What is claimed and will not be submitted goes back, so that another dispatcher may take it at once. */
  const handBack = async (): Promise<void> => {
    const back: Promise<void>[] = [];
    for (const list of [ready.express, ready.others]) {
      for (let next = list.shift(); next; next = list.shift()) {
        left.push(next);
        back.push(deps.undo(next.work, settings.name));
      }
    }
    await Promise.all(back);
  };

  return {
    name: settings.name,
    connector,
    push: (lane, work) => queue.push(lane, work),
    queued: queue.lengthOf,
    wake,
    counters,
    state: () => ({
      queued: { express: queue.lengthOf('express'), normal: queue.lengthOf('normal'), bulk: queue.lengthOf('bulk') },
      claimed: ready.express.length + ready.others.length,
      claiming,
      submitting,
    }),
    close: async () => {
      closed = true;
      if (timer) clearTimeout(timer);
      await handBack();
      await connector.close();
      await Promise.all(tasks);
      await handBack();
      for (let next = queue.take(true); next; next = queue.take(true)) left.push({ lane: next.lane, work: next.item });
      return left;
    },
  };
}
