/** What a load has brought so far. */
import type { Answer } from './answer.ts';
import type { Bullet } from './bullet.ts';
import { createHistogram, type Histogram } from './histogram.ts';
import type { LoadResult } from './plan.ts';

export type Tally = {
  latency: Histogram;
  statuses: Map<number, number>;
  requests: number;
  lost: number;
  accepted: number;
  acceptedRials: number;
  waited: number;
  serials: [number, number][];
  /** Monotonic milliseconds of the last answer. */
  lastAnswerAt: number;
};

/** A batch's answer begins with its id, then its count. */
const ACCEPTED_COUNT = /"accepted":(\d+)/;
const HEAD_BYTES = 120;

export const createTally = (): Tally => ({
  latency: createHistogram(),
  statuses: new Map(),
  requests: 0,
  lost: 0,
  accepted: 0,
  acceptedRials: 0,
  waited: 0,
  serials: [],
  lastAnswerAt: 0,
});

/** Books one answer; a batch counts as many messages as its answer says. */
export function book(
  tally: Tally,
  { serial, since }: { serial: number; since: number },
  bullet: Bullet,
  { status, body }: Answer,
  keepSerial: boolean,
): void {
  const now = performance.now();
  tally.lastAnswerAt = now;
  tally.latency.record((now - since) * 1_000);
  tally.statuses.set(status, (tally.statuses.get(status) ?? 0) + 1);
  if (status !== 202) return;
  let { messages } = bullet;
  if (messages > 1) messages = Number(ACCEPTED_COUNT.exec(body.toString('latin1', 0, HEAD_BYTES))?.[1] ?? 0);
  tally.accepted += messages;
  tally.acceptedRials += messages === bullet.messages ? bullet.rials : (bullet.rials / bullet.messages) * messages;
  if (keepSerial) tally.serials.push([serial, performance.timeOrigin + now]);
}

/** @param startedAt epoch milliseconds */
export function resultOf(tally: Tally, startedAt: number): LoadResult {
  const { latency, statuses, requests, lost, accepted, acceptedRials, waited, serials, lastAnswerAt } = tally;
  return {
    startedAt,
    endedAt: performance.timeOrigin + lastAnswerAt,
    requests,
    statuses: Object.fromEntries(statuses),
    lost,
    accepted,
    acceptedRials,
    latencyMs: {
      mean: latency.meanMs,
      p50: latency.percentileMs(0.5),
      p90: latency.percentileMs(0.9),
      p99: latency.percentileMs(0.99),
      p999: latency.percentileMs(0.999),
      max: latency.maxMicros / 1_000,
    },
    waited,
    serials,
  };
}
