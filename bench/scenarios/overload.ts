/**
 * Twice what it can carry: how much of it still gets through, what the rest is told, what a one-time password waits for
 * meanwhile, and how long after the flood it is as before.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Stopped } from '../../local/wait.ts';
import type { Bench, Figures, Run } from '../bench.ts';
import { checkBooks } from '../check.ts';
import { drained, finalCount } from '../drain.ts';
import { type LoadResult, SERIAL, type Shot } from '../load/plan.ts';
import { startLoad } from '../load-process.ts';
import { costFigures, planOf, readCost, refusalFigures, send } from '../measure.ts';
import { sendShots } from '../shots.ts';
import { PARTS } from '../stack.ts';
import { rounded } from '../statistics.ts';

const PEAK_CONNECTIONS = 256;
const FLOOD_CONNECTIONS_MAX = 4_000;
const EXPRESS_PER_S = 50;
const EXPRESS_CONNECTIONS_MAX = 256;
const LOOK_EVERY_MS = 1_000;
const ASK_EVERY_MS = 50;
const RECOVERED_WITHIN_S = 30;
/** Whose memory the flood may fill. */
type Memory = Record<string, number>;

const perSecond = ({ accepted, startedAt, endedAt }: LoadResult): number => accepted / ((endedAt - startedAt) / 1_000);

const memoryOf = ({ stack }: Bench): Memory => {
  const usage = stack.usage(true);
  return Object.fromEntries(PARTS.map((part) => [part, rounded((usage[part]?.memoryBytes ?? 0) / 1_048_576, 0)]));
};

/** Looks again and again while something goes on; what it saw of the greatest memory is what counts. */
async function watchMemory(bench: Bench, on: () => boolean): Promise<Memory> {
  const most: Memory = {};
  while (on() && !bench.signal.aborted) {
    for (const [part, mb] of Object.entries(memoryOf(bench))) most[part] = Math.max(most[part] ?? 0, mb);
    await delay(LOOK_EVERY_MS);
  }
  return most;
}

/** Asks beside the load, with a client that reads headers: what a refusal says. Each 202 of it is booked by the caller. */
async function readRefusals(bench: Bench, shot: Shot, on: () => boolean) {
  const kinds: Record<string, number> = {};
  const bad: string[] = [];
  let accepted = 0;
  const body = shot.request.slice(shot.request.indexOf('\r\n\r\n') + 4);
  while (on() && !bench.signal.aborted) {
    await delay(ASK_EVERY_MS);
    const answer = await fetch(`${bench.stack.urls.gateway}/send`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: body.replace(SERIAL, String(bench.books.serials(1)).padStart(8, '0')),
    });
    const text = await answer.text();
    if (answer.status === 202) accepted += 1;
    else {
      const { code } = JSON.parse(text) as { code: string };
      const kind = `${answer.status} ${code}`;
      kinds[kind] = (kinds[kind] ?? 0) + 1;
      if (!/^[1-9]\d*$/.test(answer.headers.get('retry-after') ?? '')) bad.push(`${kind} has no Retry-After`);
    }
  }
  return { kinds, bad: [...new Set(bad)], accepted };
}

/** Seconds until nine of ten express answers of one second are within what they took at calm; NaN when none was. */
async function recovery(bench: Bench, express: readonly Shot[], calmP99Ms: number): Promise<number> {
  const since = performance.now();
  for (let second = 0; second < RECOVERED_WITHIN_S; second++) {
    if (bench.signal.aborted) throw new Stopped();
    const began = performance.now();
    const rate = { connections: EXPRESS_CONNECTIONS_MAX, ratePerS: EXPRESS_PER_S, seconds: 1 };
    const { latencyMs, accepted } = await send(bench, planOf(bench, { shots: express, ...rate }));
    if (latencyMs.p90 <= calmP99Ms && accepted > 0) return (began - since) / 1_000;
  }
  return Number.NaN;
}

export async function overload(bench: Bench): Promise<Run[]> {
  const { seconds } = bench.options;
  const normal = await sendShots(bench);
  const express = await sendShots(bench, { accounts: bench.books.accounts, operators: ['MCI'], type: 'express' });
  const finalBefore = await finalCount(bench);
  const acceptedBefore = bench.books.accepted;
  const both = startLoad(bench.signal);
  bench.defer(() => both.close());

  bench.say(`overload: the peak, ${PEAK_CONNECTIONS} connections for ${seconds} s …`);
  const peak = await send(bench, planOf(bench, { shots: normal, connections: PEAK_CONNECTIONS }));
  const settled = () => drained(bench, finalBefore + bench.books.accepted - acceptedBefore);
  const { at } = await settled();
  const peakPerS = perSecond(peak);
  const peakFinalPerS = peak.accepted / ((at - peak.startedAt) / 1_000);

  /** Normal at a rate, express beside it. */
  const together = async (ratePerS: number, connections: number): Promise<[LoadResult, LoadResult]> => {
    const flood = planOf(bench, { shots: normal, connections, ratePerS: Math.round(ratePerS) });
    const passwords = planOf(bench, {
      ...{ shots: express, connections: EXPRESS_CONNECTIONS_MAX, ratePerS: EXPRESS_PER_S },
    });
    return Promise.all([send(bench, flood), send(bench, passwords, both)]);
  };
  bench.say(`overload: half of it (${rounded(peakFinalPerS / 2, 0)}/s) …`);
  const [, calm] = await together(peakFinalPerS / 2, FLOOD_CONNECTIONS_MAX);
  await settled();
  const memoryBefore = memoryOf(bench);

  bench.say(`overload: twice of it (${rounded(peakPerS * 2, 0)}/s) for ${seconds} s …`);
  const costBefore = await readCost(bench);
  let on = true;
  const watching = watchMemory(bench, () => on);
  const reading = readRefusals(bench, normal[0] as Shot, () => on);
  const [flood, passwords] = await together(peakPerS * 2, FLOOD_CONNECTIONS_MAX).finally(() => {
    on = false;
  });
  const costAfter = await readCost(bench);
  const [memoryMost, refusals] = await Promise.all([watching, reading]);
  const { accepted } = refusals;
  bench.books.add({ accepted, acceptedRials: accepted * (normal[0]?.rials ?? 0), lost: 0 }, 1);
  const recoveredS = await recovery(bench, express, calm.latencyMs.p99);
  const drainedAt = (await settled()).at;
  const violations = await checkBooks(bench);
  violations.push(...refusals.bad);
  for (const status of Object.keys({ ...flood.statuses, ...passwords.statuses })) {
    if (!['202', '429', '503'].includes(status)) violations.push(`something was answered with ${status}`);
  }
  const { cpu_us, cpu_us_apart } = costFigures(costBefore, costAfter, flood.accepted + passwords.accepted);
  const goodput = perSecond(flood) + perSecond(passwords);
  const figures: Figures = {
    peak_accepted_per_s: rounded(peakPerS, 0),
    peak_final_per_s: rounded(peakFinalPerS, 0),
    offered_per_s: rounded(flood.requests / seconds, 0),
    goodput_accepted_per_s: rounded(goodput, 0),
    goodput_percent_of_peak: rounded((goodput / peakPerS) * 100, 0),
    final_per_s_until_drained: rounded(
      (flood.accepted + passwords.accepted) / ((drainedAt - flood.startedAt) / 1_000),
      0,
    ),
    ...refusalFigures(flood),
    refusals_read: refusals.kinds,
    flood_p50_ms: rounded(flood.latencyMs.p50, 1),
    flood_p99_ms: rounded(flood.latencyMs.p99, 1),
    express_refused: passwords.requests - passwords.accepted,
    express_p50_ms_calm: rounded(calm.latencyMs.p50, 1),
    express_p50_ms_overloaded: rounded(passwords.latencyMs.p50, 1),
    express_p99_ms_calm: rounded(calm.latencyMs.p99, 1),
    express_p99_ms_overloaded: rounded(passwords.latencyMs.p99, 1),
    express_p99_times_calm: rounded(passwords.latencyMs.p99 / calm.latencyMs.p99, 1),
    recovered_after_s: Number.isNaN(recoveredS) ? `not within ${RECOVERED_WITHIN_S}` : rounded(recoveredS, 1),
    ...(cpu_us ? { cpu_us } : {}),
    ...(cpu_us_apart ? { cpu_us_apart } : {}),
    memory_mb_before: memoryBefore,
    memory_mb_most: memoryMost,
  };
  return [{ scenario: 'overload', title: `overload ${seconds} s`, figures, violations }];
}
