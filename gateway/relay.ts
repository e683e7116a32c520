/** The relay: produces what was accepted and whose production nobody confirmed, from the outbox, oldest first. */
import { decodeMessage, type MessageEvent } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
import { type BillingClient, isTooLarge } from '../shared/grpc.ts';
import { idTimeMs } from '../shared/id.ts';
import { errorFields } from '../shared/log.ts';
import { startRounds } from '../shared/rounds.ts';
import { type ProductionDeps, produceOne } from './production.ts';

const RELAY_EVERY_MS = 1_000;
const RELAY_MAX = 4_000;
const RELAY_DEADLINE_MS = 5_000;
/** What was accepted within so long goes to Kafka together, before what came later. */
const STEP_MS = 500;
/** At least so many of those that wait for the producer's pace, so that a handout is in Kafka long before the lease ends. */
const STEP_MIN = 100;
/** What was produced and is not confirmed after so long is produced once more. */
const AGAIN_AFTER_MS = 3_000;
/** Later than anything was due (epoch ms). */
const EVER = 999_999_999_999_999;

export type RelayDeps = ProductionDeps & {
  billing: BillingClient;
  /** Rejects while Kafka does not answer. */
  kafkaAnswers: () => Promise<unknown>;
  owner: string;
  onRelayed: (count: number) => void;
};

type Boxed = { event: MessageEvent; value: string };

/** In order of age (ids rise with the time of their acceptance), in steps of STEP_MS and of so many at least. */
function inSteps(lane: Boxed[], least: number): Boxed[][] {
  lane.sort((a, b) => (a.event.id < b.event.id ? -1 : 1));
  const steps: Boxed[][] = [];
  let step: Boxed[] = [];
  let until = 0;
  for (const one of lane) {
    const acceptedAt = idTimeMs(one.event.id);
    if (steps.length === 0 || (acceptedAt >= until && step.length >= least)) {
      until = acceptedAt + STEP_MS;
      step = [];
      steps.push(step);
    }
    step.push(one);
  }
  return steps;
}

/**
 * Produces what was handed out, express first, a step after the other; each partition of an operator gets its share of each
 * step, so that they are read in step. Answers false where Kafka did not take all of it, or `closed` in the middle.
 */
async function produceAll(deps: RelayDeps, events: readonly string[], closed: () => boolean): Promise<boolean> {
  failpoint('gateway.relay_before_produce');
  const boxed: Boxed[] = [];
  for (const value of events) {
    const event = decodeMessage(value);
    if (event) boxed.push({ event, value });
    else deps.log.error('outbox_unreadable', { bytes: value.length });
  }
  const isExpress = ({ event }: Boxed): boolean => event.lane === 'express';
  const express = inSteps(boxed.filter(isExpress), 1);
  const others = inSteps(
    boxed.filter((one) => !isExpress(one)),
    STEP_MIN,
  );
  for (const step of [...express, ...others]) {
    if (closed()) return false;
    const produced = await Promise.allSettled(step.map(({ event, value }, i) => produceOne(deps, event, value, i)));
    const refusal = produced.find((one) => one.status === 'rejected');
    if (!refusal) continue;
    deps.log.debug('relay_failed', errorFields(refusal.reason));
    return false;
  }
  failpoint('gateway.relay_after_produce');
  deps.onRelayed(boxed.length);
  deps.log.info('relayed', { messages: boxed.length });
  return true;
}

/**
 * Looks after the outbox shards that this process leases. What was handed out keeps its place until its production is
 * confirmed, so that what Kafka did not take is still the oldest when it is back; after a failure Kafka has to answer first.
 */
export function startRelay(deps: RelayDeps): { close(): Promise<void> } {
  const { billing, owner } = deps;
  let taken = true;
  /** Fewer after an answer that could not hold them: messages may have very many pages. */
  let most = RELAY_MAX;
  /** All that were due by then were produced: epoch ms of billing's clock; 0 where nothing was for a while. */
  let producedTo = 0;
  /** What was due by then was produced AGAIN_AFTER_MS before this instant of the monotonic clock, or earlier. */
  let again = { by: 0, at: 0 };

  /** Produces what was due after the one instant and by the other, and tells how far it came. Answers whether there was any. */
  const produceDue = async (
    after: number,
    by: number,
    closed: () => boolean,
    reached: (dueAt: number) => void,
  ): Promise<boolean> => {
    let found = false;
    for (let [from, more] = [after, true]; more && !closed(); ) {
      const request = { owner, max: most, after: from, by };
      const reply = await billing.call('Relay', request, RELAY_DEADLINE_MS).catch((thrown) => {
        if (isTooLarge(thrown)) most = Math.max(1, Math.floor(most / 2));
        throw thrown;
      });
      most = Math.min(RELAY_MAX, most * 2);
      from = reply.reached;
      more = reply.more;
      if (reply.events.length === 0) continue;
      found = true;
      taken = await produceAll(deps, reply.events, closed);
      if (!taken) break;
      reached(from);
    }
    return found;
  };
  const round = async (closed: () => boolean): Promise<void> => {
    try {
      if (!taken) await deps.kafkaAnswers();
      taken = true;
      const now = performance.now();
      if (now >= again.at) {
        // What came to its place late, and what another process had before, are found here as well.
        const found = again.by > 0 && (await produceDue(0, again.by, closed, () => undefined));
        if (!taken) return;
        if (!found && producedTo === again.by) producedTo = 0;
        again = { by: producedTo, at: now + AGAIN_AFTER_MS };
      }
      await produceDue(producedTo, EVER, closed, (dueAt) => {
        producedTo = dueAt;
      });
    } catch (thrown) {
      deps.log.debug('relay_failed', errorFields(thrown));
    }
  };
  return startRounds(round, RELAY_EVERY_MS);
}
