/** Many messages of one account a request. */
import type { Bench, Run } from '../bench.ts';
import { checkBooks } from '../check.ts';
import { measureLoad, planOf } from '../measure.ts';
import { batchShots } from '../shots.ts';

/** Enough to keep the gateway busy; more would pass its bound of messages in flight. */
const CONNECTIONS = 16;

export async function batch(bench: Bench): Promise<Run[]> {
  const { batchSize, seconds } = bench.options;
  bench.say(`batch: ${batchSize} messages a request, ${CONNECTIONS} connections for ${seconds} s …`);
  const shots = await batchShots(bench, batchSize);
  const { figures } = await measureLoad(bench, planOf(bench, { shots, connections: CONNECTIONS }));
  return [{ scenario: 'batch', title: `batch ${batchSize}`, figures, violations: await checkBooks(bench) }];
}
