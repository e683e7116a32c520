/**
 * The seeded simulation: `bun tests/simulation/run.ts [--seed N] [--histories M] [--seconds S]`. History n of a run has the seed
 * N + n, so that a failure is run again alone by its own seed. Ends at the first broken one, with exit code 1.
 *   --plant NAME  with a bug of plants.ts
 *   --each        a line for each history
 *   --stride J    only every J-th seed: jobs.ts runs J of these at once
 */
import { parseArgs } from 'node:util';
import { installClock } from './clock.ts';

const clockMs = performance.now.bind(performance);
installClock();
// Only now: what they import must find the simulated clock in its place.
const { runHistory } = await import('./history.ts');
const { PLANTS } = await import('./plants.ts');

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    histories: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '600' },
    plant: { type: 'string' },
    each: { type: 'boolean', default: false },
    stride: { type: 'string', default: '1' },
  },
});
const plant = values.plant === undefined ? {} : PLANTS[values.plant];
if (plant === undefined) throw new Error(`--plant is one of ${Object.keys(PLANTS).join(', ')}`);
const first = Number(values.seed);
const count = Number(values.histories);
const stride = Number(values.stride);
// Histories are full of errors that somebody handles; where each came from matters in one that is looked at alone.
if (count > 1) Error.stackTraceLimit = 0;
const startedAt = clockMs();
const passed = (): number => (clockMs() - startedAt) / 1_000;
const sums = { histories: 0, messages: 0, submits: 0, turns: 0 };
const reached: Record<string, number> = {};
let broken: Awaited<ReturnType<typeof runHistory>> | null = null;
for (let n = 0; n < count && passed() < Number(values.seconds) && broken === null; n += 1) {
  const outcome = runHistory(first + n * stride, { plant });
  if (values.each) process.stdout.write(`${JSON.stringify(outcome)}\n`);
  sums.histories += 1;
  sums.messages += outcome.messages;
  sums.submits += outcome.submits;
  sums.turns += outcome.turns;
  for (const [what, n] of Object.entries(outcome.reached)) reached[what] = (reached[what] ?? 0) + n;
  if (outcome.faults.length > 0) broken = outcome;
}
const seconds = passed();
const { user, system } = process.cpuUsage();
const perMinute = Math.round((sums.histories / seconds) * 60);
const perCpuMinute = Math.round((sums.histories / ((user + system) / 1_000_000)) * 60);
process.stdout.write(`reached ${JSON.stringify(reached)}\n`);
process.stdout.write(
  `${JSON.stringify({ first_seed: first, ...sums, seconds: Math.round(seconds), perMinute, perCpuMinute })}\n`,
);
if (broken) {
  process.stdout.write(`seed ${broken.seed} breaks:\n${broken.faults.map((fault) => `  ${fault}`).join('\n')}\n`);
  process.stdout.write(`again: bun tests/simulation/run.ts --seed ${broken.seed} --histories 1\n`);
}
process.exit(broken ? 1 : 0);
