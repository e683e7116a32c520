/** One attempt at one message on its way through this process. */
import type { MessageEvent } from '../shared/events.ts';

export type Work = {
  event: MessageEvent;
  /** 1 to 4. */
  attempt: number;
  /** The number of its last claim by this process, from 1; 0 before the first. */
  claim: number;
  /** An earlier submit to this operator may have arrived: it goes to no other one. */
  pinned?: string;
  /** Its own operator's breaker was open; this one carries it meanwhile. */
  divertedFrom?: string;
  /** This operator said that the number is another's. */
  reroutedFrom?: string;
  /** Its Kafka record needs no redelivery any more; called once. */
  done(): void;
};
