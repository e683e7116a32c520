/** From an accepted message to Kafka: at once by its own gateway, else by the relay. */

import type { Ref } from '../shared/billing.ts';
import type { MessageEvent } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
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

/** @param turn the relay's: which of the operator's partitions takes it */
export async function produceOne(
  { producer, slotOf, produced }: ProductionDeps,
  event: MessageEvent,
  value: string | Buffer,
  turn?: number,
): Promise<void> {
  await producer.send({ topic: TOPIC[event.lane], slot: slotOf(event.operator), value, turn });
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
