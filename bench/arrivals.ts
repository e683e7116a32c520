/** Messages to a number of their own: how long each waits from its 202 to its submit, whatever else is on its way. */
import { setTimeout as delay } from 'node:timers/promises';
import { Stopped } from '../local/wait.ts';
import type { Bench } from './bench.ts';
import type { LoadResult } from './load/plan.ts';
import { arrivals, turn } from './operators.ts';
import type { OperatorName } from './operators-file.ts';
import { phoneOf } from './shots.ts';

/** Its last digits are on no number of a campaign, so that the simulator's records of it are those of these messages. */
const PHONE_SERIAL = 9_999_999;
const LOOK_EVERY_MS = 3_000;
const LOOK_AGAIN_MS = 250;
const ARRIVED_WITHIN_MS = 60_000;

export type Watch = {
  /** Where the messages go. */
  readonly phone: string;
  /** Waits for what was accepted, a minute at most, and answers each one's wait in milliseconds: fewer where some did not come. */
  waits(result: LoadResult): Promise<number[]>;
  close(): Promise<void>;
};

/** Looks at an operator until it is closed; the plan of what goes to its `phone` keeps serials. */
export async function watchArrivals({ stack, signal }: Bench, operator: OperatorName): Promise<Watch> {
  const phone = phoneOf(operator, PHONE_SERIAL);
  await turn(stack, operator, { record: 'full' });
  const seen = new Map<number, number>();
  let over = false;
  const look = async (): Promise<void> => {
    for (const [serial, at] of await arrivals(stack, operator, `+98${phone.slice(1)}`)) {
      if (!seen.has(serial)) seen.set(serial, at);
    }
  };
  // The simulator keeps the newest records alone: they are fetched before others push them out.
  const looking = (async () => {
    for (let at = 0; !over && !signal.aborted; at += LOOK_AGAIN_MS) {
      if (at % LOOK_EVERY_MS === 0) await look();
      await delay(LOOK_AGAIN_MS);
    }
  })();
  looking.catch(() => undefined);
  return {
    phone,
    waits: async ({ serials }) => {
      const missing = () => serials.some(([serial]) => !seen.has(serial));
      const until = performance.now() + ARRIVED_WITHIN_MS;
      for (await look(); missing() && performance.now() < until; await look()) {
        if (signal.aborted) throw new Stopped();
        await delay(LOOK_AGAIN_MS);
      }
      return (
        serials
          .filter(([serial]) => seen.has(serial))
          // The submit may be there before the client has read its 202.
          .map(([serial, acceptedAt]) => Math.max(0, (seen.get(serial) as number) - acceptedAt))
      );
    },
    close: async () => {
      over = true;
      await looking;
      await turn(stack, operator, { record: 'counts' });
    },
  };
}
