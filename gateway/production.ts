/** From an accepted message to Kafka: at once by its own gateway, else by the relay. */

import type { Ref } from '../shared/billing.ts';
import { decodeMessage, type MessageEvent } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
import type { BillingClient } from '../shared/grpc.ts';
import type { Producer } from '../shared/kafka.ts';
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
  produce(event: MessageEvent, value: string): void;
};

async function produceOne(
  { producer, slotOf, produced }: ProductionDeps,
  event: MessageEvent,
  value: string,
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

export type RelayDeps = ProductionDeps & { billing: BillingClient; owner: string; onRelayed: (count: number) => void };

async function relayOnce(deps: RelayDeps): Promise<boolean> {
  const { events } = await deps.billing.call('Relay', { owner: deps.owner, max: RELAY_MAX }, RELAY_DEADLINE_MS);
  if (events.length > 0) failpoint('gateway.relay_before_produce');
  await Promise.all(
    events.map((value) => {
      const event = decodeMessage(value);
      if (event === null) throw new Error('the outbox holds what is not a message');
      return produceOne(deps, event, value);
    }),
  );
  if (events.length > 0) {
    failpoint('gateway.relay_after_produce');
    deps.onRelayed(events.length);
    deps.log.info('relayed', { messages: events.length });
  }
  return events.length >= RELAY_MAX / 4;
}

/** Re-produces what nobody confirmed, from the outbox shards this process leases, oldest first. */
export function startRelay(deps: RelayDeps): { close(): Promise<void> } {
  let closed = false;
  let timer: ReturnType<typeof setTimeout>;
  let running: Promise<void> = Promise.resolve();
  const round = async (): Promise<void> => {
    try {
      while (!closed && (await relayOnce(deps)));
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
