/** One attempt at one message on its way through this process. */
import type { MessageEvent } from '../shared/events.ts';

export type Work = {
  event: MessageEvent;
  /** 1 to 4. */
  attempt: number;
  /** Its Kafka record needs no redelivery any more; called once. */
  done(): void;
};
