/** A steady stream well below the limit: how long one client waits for its 202. */
import type { Bench, Run } from '../bench.ts';
import { checkBooks } from '../check.ts';
import { measureLoad, planOf } from '../measure.ts';
import { sendShots } from '../shots.ts';

const PER_S = 500;
const CONNECTIONS_MAX = 512;

export async function rate(bench: Bench): Promise<Run[]> {
  const ratePerS = bench.options.ratePerS || PER_S;
  bench.say(`rate: ${ratePerS} requests a second for ${bench.options.seconds} s …`);
  const plan = planOf(bench, { shots: await sendShots(bench), connections: CONNECTIONS_MAX, ratePerS });
  const { figures } = await measureLoad(bench, plan);
  return [{ scenario: 'rate', title: `rate ${ratePerS}/s`, figures, violations: await checkBooks(bench) }];
}
