/** All of the load from one account, against the same load from all of them, in turn. */
import type { Bench, Run } from '../bench.ts';
import { checkBooks } from '../check.ts';
import { measureLoad, planOf } from '../measure.ts';
import { kindOf, sendShots } from '../shots.ts';
import { median, rounded } from '../statistics.ts';

export async function hotTenant(bench: Bench): Promise<Run[]> {
  const { options, books } = bench;
  const connections = Math.max(...options.connections);
  const all = kindOf(bench);
  const kinds = { many: all, one: { ...all, accounts: books.accounts.slice(0, 1) } };
  const speeds: Record<keyof typeof kinds, number[]> = { many: [], one: [] };
  const costs: Record<keyof typeof kinds, number[]> = { many: [], one: [] };
  for (let round = 1; round <= options.rounds; round++) {
    for (const kind of ['many', 'one'] as const) {
      bench.say(`hot-tenant: round ${round} of ${options.rounds}, ${kinds[kind].accounts.length} accounts …`);
      const shots = await sendShots(bench, kinds[kind]);
      const { figures } = await measureLoad(bench, planOf(bench, { shots, connections }));
      speeds[kind].push(figures.final_per_s as number);
      costs[kind].push(figures.cpu_us_per_message as number);
    }
  }
  const [many, one] = [median(speeds.many), median(speeds.one)];
  return [
    {
      scenario: 'hot-tenant',
      title: 'hot tenant',
      figures: {
        rounds: options.rounds,
        [`final_per_s_of_${books.accounts.length}_accounts`]: many,
        final_per_s_of_one_account: one,
        one_against_many: rounded(one / many, 2),
        [`cpu_us_of_${books.accounts.length}_accounts`]: median(costs.many),
        cpu_us_of_one_account: median(costs.one),
      },
      violations: await checkBooks(bench),
    },
  ];
}
