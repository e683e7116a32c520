/** One message a request, as fast as answers come, at several numbers of connections. */
import type { Bench, Run } from '../bench.ts';
import { checkBooks } from '../check.ts';
import { measureLoad, planOf } from '../measure.ts';
import { sendShots } from '../shots.ts';

export async function send(bench: Bench): Promise<Run[]> {
  const shots = await sendShots(bench);
  const runs: Run[] = [];
  for (const connections of bench.options.connections) {
    bench.say(`send: ${connections} connections for ${bench.options.seconds} s …`);
    const { figures } = await measureLoad(bench, planOf(bench, { shots, connections }));
    const title = `send ${connections}`;
    runs.push({ scenario: 'send', title, figures, violations: await checkBooks(bench) });
  }
  return runs;
}
