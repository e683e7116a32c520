/** From an accepted message to Kafka: at once by its own gateway, else by the relay. */

import type { Ref } from '../shared/billing.ts';
import { decodeMessage, type MessageEvent } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
import type { BillingClient } from '../shared/grpc.ts';
import type { Producer } from '../shared/kafka-producer.ts';
import { errorFields, type Log } from '../shared/log.ts';
import { type Lane, TOPICS } from '../shared/topics.ts';

/** After a produce failed, Kafka is left to the relay for this long. */
const REST_AFTER_FAILURE_MS = 2_000;
/** Records that wait for a produce; past it the relay takes what comes, from the outbox. */
const WAITING_MAX = 20_000;

const TOPIC: Readonly<Record<Lane, string>> = { express: TOPICS.express, normal: TOPICS.normal, bulk: TOPICS.bulk };

export type ProductionDeps = {
  producer: Producer;
  /** The slot of an operator's partitions. */
  slotOf: (operator: string) => number;
  /** Kafka has it: the outbox entry may go. */
  produced: (ref: Ref) => void;
  onFailure: () => void;
  log: Log;
};

export type Production = {
  /** Produces an accepted message. When that fails or Kafka rests, its outbox entry stays and the relay alone owns it. */
  produce(event: MessageEvent, value: Buffer): void;
};

async function produceOne(
  { producer, slotOf, produced }: ProductionDeps,
  event: MessageEvent,
  value: string | Buffer,
): Promise<void> {
  await producer.send({ topic: TOPIC[event.lane], slot: slotOf(event.operator), value });
  failpoint('gateway.after_produce');
  produced({ user_id: event.user_id, message_id: event.id });
}

export function openProduction(deps: ProductionDeps): Production {
  let restUntil = 0;
  return {
    produce: (event, value) => {
      if (performance.now() < restUntil || deps.producer.waiting > WAITING_MAX) return;
      produceOne(deps, event, value).catch((thrown) => {
        deps.onFailure();
        if (performance.now() >= restUntil)
          deps.log.warn('produce_failed', { ...errorFields(thrown), left_to: 'relay' });
        restUntil = performance.now() + REST_AFTER_FAILURE_MS;
      });
    },
  };
}

const RELAY_EVERY_MS = 1_000;
const RELAY_MAX = 4_000;
const RELAY_DEADLINE_MS = 5_000;
/** What was due within so long is handed out together; only then what was due later, in whatever shard it stands. */
const RELAY_STEP_MS = 500;

export type RelayDeps = ProductionDeps & {
  billing: BillingClient;
  /** Rejects while Kafka does not answer. */
  kafkaAnswers: () => Promise<unknown>;
  owner: string;
  onRelayed: (count: number) => void;
};

/** Express first, then by age: ids rise with the time of their acceptance. */
const byLaneAndAge = (a: MessageEvent, b: MessageEvent): number => {
  if (a.lane !== b.lane && (a.lane === 'express' || b.lane === 'express')) return a.lane === 'express' ? -1 : 1;
  return a.id < b.id ? -1 : 1;
};

/** Produces what was handed out. Answers false where Kafka did not take all of it. */
async function produceAll(deps: RelayDeps, events: readonly string[]): Promise<boolean> {
  failpoint('gateway.relay_before_produce');
  const found: { event: MessageEvent; value: string }[] = [];
  for (const value of events) {
    const event = decodeMessage(value);
    if (event) found.push({ event, value });
    else deps.log.error('outbox_unreadable', { bytes: value.length });
  }
  found.sort((a, b) => byLaneAndAge(a.event, b.event));
  const produced = await Promise.allSettled(found.map(({ event, value }) => produceOne(deps, event, value)));
  const refusal = produced.find((one) => one.status === 'rejected');
  if (refusal) {
    deps.log.debug('relay_failed', errorFields(refusal.reason));
    return false;
  }
  failpoint('gateway.relay_after_produce');
  deps.onRelayed(found.length);
  deps.log.info('relayed', { messages: found.length });
  return true;
}

/**
 * Re-produces what nobody confirmed, from the outbox shards this process leases, oldest first. What is handed out goes behind
 * the others for a while, so nothing is asked for that Kafka would not take: after a failure it has to answer first.
 */
export function startRelay(deps: RelayDeps): { close(): Promise<void> } {
  const { billing, owner } = deps;
  let closed = false;
  let taken = true;
  let timer: ReturnType<typeof setTimeout>;
  let running: Promise<void> = Promise.resolve();
  const round = async (): Promise<void> => {
    try {
      if (!taken) await deps.kafkaAnswers();
      taken = true;
      for (let dueBy = 0; taken && !closed; ) {
        const request = { owner, max: RELAY_MAX, due_by: String(dueBy) };
        const { events, next_due } = await billing.call('Relay', request, RELAY_DEADLINE_MS);
        if (events.length > 0) taken = await produceAll(deps, events);
        if (next_due === '0') return;
        dueBy = Number(next_due) + RELAY_STEP_MS;
      }
    } catch (thrown) {
      deps.log.debug('relay_failed', errorFields(thrown));
    }
  };
  const loop = (): void => {
    if (closed) return;
    running = round().then(() => {
      timer = setTimeout(loop, RELAY_EVERY_MS);
    });
  };
  loop();
  return {
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };
}
