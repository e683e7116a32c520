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
import type { Lease } from './lease.ts';
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

export type Counters = Record<SubmitOutcome['kind'], number>;
export type Queued = { lane: Lane; work: Work };
type Claimed = Queued & { at: number };

export type PumpDeps = {
  settings: OperatorSettings;
  connector: Connector;
  /** Holds it back after it throttled. */
  rate: Rate;
  /** Its tps, shared by all dispatchers. */
  lease: Lease;
  breaker: Breaker;
  records: Records;
  /** Settles an outcome, publishes it and ends the work; never rejects. */
  settle: (work: Work, operator: string, outcome: SubmitOutcome) => Promise<Settled>;
  /** Undoes a claim; never rejects. */
  undo: (work: Work, operator: string) => Promise<void>;
  /** A claim's answer that is not a submit: decided, gone, busy, newer or early. */
  notClaimed: (work: Work, result: ClaimResult) => void;
  /** While the breaker is open: true when another operator took the message. */
  divert: (lane: Lane, work: Work) => boolean;
  /** The operator says that the number is another's: true when another operator took the message, once. */
  reroute: (lane: Lane, work: Work) => boolean;
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
  /** Messages that wait for a claim, over all lanes. */
  readonly waiting: number;
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

/** Of the last half second: what a claim's round trip submits meanwhile. */
function createCover(windowSize: number) {
  let submitted = 0;
  let since = performance.now();
  let perMs = 0;
  return {
    submitted: (): void => {
      submitted += 1;
    },
    size: (now: number, claimMs: number): number => {
      if (now - since > 500) {
        perMs = submitted / (now - since);
        submitted = 0;
        since = now;
      }
      return Math.min(Math.ceil(perMs * claimMs * 1.5) + COVER_MIN, windowSize * COVER_WINDOWS_MAX);
    },
  };
}

export function createPump(deps: PumpDeps): Pump {
  const { settings, connector, rate, lease, breaker, records, log } = deps;
  const { name } = settings;
  const queue = createLaneQueue<Work>();
  const ready = { express: createFifo<Claimed>(), others: createFifo<Claimed>() };
  const counters: Counters = { accepted: 0, rejected: 0, transient: 0, throttled: 0, unknown: 0, released: 0 };
  const cover = createCover(connector.windowSize);
  const othersMax = Math.max(1, Math.floor(connector.windowSize * (1 - settings.expressShare)));
  const left: Queued[] = [];
  const tasks = new Set<Promise<void>>();
  let claiming = 0;
  let submitting = 0;
  let othersSubmitting = 0;
  let closed = false;
  let restUntil = 0;
  let timer: ReturnType<typeof setTimeout> | null = null;

  const track = (task: Promise<void>): void => {
    tasks.add(task);
    void task.finally(() => tasks.delete(task));
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
  /** Operators count what they are sent, and that is pages. */
  const takeRate = (now: number, { event }: Work): void => {
    rate.take(now, event.pages);
    lease.take(event.pages);
  };
  const giveBack = ({ event }: Work): void => {
    rate.giveBack(event.pages);
    lease.giveBack(event.pages);
  };
  /** Back to the front of its lane, for another claim. */
  const putBack = (lane: Lane, work: Work): void => {
    if (closed) left.push({ lane, work });
    else {
      queue.unshift(lane, work);
      wake();
    }
  };
  const takeReady = (): Claimed[] => {
    const all: Claimed[] = [];
    for (const list of [ready.express, ready.others]) {
      for (let next = list.shift(); next; next = list.shift()) all.push(next);
    }
    return all;
  };

  const submit = ({ work: { event, attempt }, lane, at }: Claimed): Promise<SubmitOutcome> | SubmitOutcome => {
    if (performance.now() - at > CLAIM_GOOD_MS) return { kind: 'released', error: 'claim_aged', linkFault: false };
    return connector.submit({
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
  };

  const submitOne = async (claimed: Claimed): Promise<void> => {
    const { work, lane } = claimed;
    const startedAt = performance.now();
    submitting += 1;
    if (lane !== 'express') othersSubmitting += 1;
    const outcome = await submit(claimed);
    failpoint('dispatcher.after_submit');
    const now = performance.now();
    submitting -= 1;
    if (lane !== 'express') othersSubmitting -= 1;
    cover.submitted();
    counters[outcome.kind] += 1;
    if (outcome.kind === 'released') giveBack(work);
    else breaker.record(now, outcome.linkFault);
    if (outcome.kind === 'throttled') rate.throttled(now, outcome.retryAfterMs ?? 0);
    if (outcome.kind === 'accepted' && outcome.throttled) rate.throttled(now, 0);
    deps.onSubmitted(name, lane, outcome, (now - startedAt) / 1_000);
    wake();
    if (outcome.kind === 'rejected' && outcome.wrongNetwork && work.reroutedFrom === undefined) {
      // Refused for good here, so the claim is undone: the next operator's submit is claimed anew.
      await deps.undo(work, name);
      if (closed || !deps.reroute(lane, work)) putBack(lane, { ...work, reroutedFrom: name });
      return;
    }
    if ((await deps.settle(work, name, outcome)) === 'again') putBack(lane, work);
  };

  const submitReady = (now: number): void => {
    if (closed) return;
    const allowance = breaker.allowance(now);
    while (connector.free > 0 && submitting < allowance) {
      const others = othersSubmitting < othersMax ? ready.others : null;
      const next = ready.express.shift() ?? others?.shift();
      if (next === undefined) return;
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
        operator: name,
        resend_unknown: settings.onUnknown[lane === 'express' ? 'express' : 'normal'] === 'resend',
        unknown_wait_ms: settings.unknownWaitMs,
      });
      if (result.code === ClaimCode.CLAIMED) {
        failpoint('dispatcher.after_claim');
        (lane === 'express' ? ready.express : ready.others).push({ work, lane, at });
      } else {
        giveBack(work);
        deps.notClaimed(work, result);
      }
    } catch (thrown) {
      giveBack(work);
      restUntil = performance.now() + RETRY_CLAIM_MS;
      log.debug('claim_failed', { message_id: event.id, ...errorFields(thrown) });
      // A claim whose answer was lost may be ours: it is handed back before it is asked for again.
      if (!(thrown instanceof AppError && thrown.code === 'unavailable')) await deps.undo(work, name);
      putBack(lane, work);
    } finally {
      claiming -= 1;
      wake();
    }
  };

  const claimMore = (now: number): void => {
    if (closed || queue.length === 0 || !connector.ready || now < restUntil) return;
    const ahead = cover.size(now, records.claimMs);
    const target = Math.min(connector.windowSize + ahead, breaker.allowance(now));
    const free = target - submitting - claiming - ready.express.length - ready.others.length;
    if (free <= 0) return;
    for (let room = free; room > 0 && rate.available(now) > 0 && lease.available() > 0; room -= 1) {
      const next = queue.take(othersSubmitting + ready.others.length < othersMax + ahead);
      if (next === null) return;
      takeRate(now, next.item);
      deps.onDrained(next.lane, queue.lengthOf(next.lane));
      track(claimOne(next.lane, next.item));
    }
  };

  /** While the breaker is open nothing is submitted: what is claimed goes back, and what may go elsewhere goes there. */
  const divertAll = (): void => {
    for (const { work, lane } of takeReady()) track(deps.undo(work, name).then(() => putBack(lane, work)));
    const staying: Queued[] = [];
    for (let next = queue.take(true); next; next = queue.take(true)) {
      if (deps.divert(next.lane, next.item)) deps.onDrained(next.lane, queue.lengthOf(next.lane));
      else staying.push({ lane: next.lane, work: next.item });
    }
    for (const { lane, work } of staying) queue.push(lane, work);
  };

  const wake = (): void => {
    const now = performance.now();
    if (!closed && breaker.state(now) === 'open') divertAll();
    submitReady(now);
    claimMore(now);
    if (queue.length === 0 && ready.express.length + ready.others.length === 0) return;
    const wait = Math.max(rate.waitMs(now), breaker.waitMs(now), restUntil - now);
    if (wait > 0) later(wait);
  };

  return {
    name,
    connector,
    push: queue.push,
    queued: queue.lengthOf,
    get waiting() {
      return queue.length;
    },
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
      const handBack = (): Promise<unknown> => {
        const all = takeReady();
        left.push(...all);
        return Promise.all(all.map(({ work }) => deps.undo(work, name)));
      };
      await handBack();
      await connector.close();
      while (tasks.size > 0) await Promise.all(tasks);
      await handBack();
      for (let next = queue.take(true); next; next = queue.take(true)) left.push({ lane: next.lane, work: next.item });
      return left;
    },
  };
}
