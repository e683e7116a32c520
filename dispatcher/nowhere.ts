/**
 * Messages that no operator carries: one was taken out of operator.json, or a new one was read by the gateway and not yet here.
 * They wait for the next file; past its validity the sweeper ends a message, refunded, and nobody needs to wait here any more.
 */
import type { Log } from '../shared/log.ts';
import type { Queued } from './pump-deps.ts';

const LOOK_MS = 1_000;

export type Nowhere = {
  push(queued: Queued): void;
  readonly length: number;
  /** Empties it. */
  takeAll(): Queued[];
  close(): void;
};

/** @param onDrained told of its new length when messages have gone by themselves */
export function createNowhere(log: Log, onDrained: (length: number) => void): Nowhere {
  let waiting: Queued[] = [];
  const look = setInterval(() => {
    if (waiting.length === 0) return;
    const now = Date.now();
    const late = waiting.filter(({ work }) => work.event.valid_until <= now);
    waiting = waiting.filter(({ work }) => work.event.valid_until > now);
    for (const { work } of late) work.done();
    onDrained(waiting.length);
  }, LOOK_MS);
  return {
    push: (queued) => {
      const { event } = queued.work;
      if (waiting.length === 0) log.warn('no_operator', { message_id: event.id, operator: event.operator });
      waiting.push(queued);
    },
    get length() {
      return waiting.length;
    },
    takeAll: () => {
      const all = waiting;
      waiting = [];
      return all;
    },
    close: () => clearInterval(look),
  };
}
