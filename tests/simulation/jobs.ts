/**
 * The simulation on every core: `bun tests/simulation/jobs.ts [--seed N] [--histories M] [--seconds S] [--plant NAME]`. Each process
 * takes every J-th seed, so that together they run what one would. Ends with one line of sums, and with exit code 1 and the first broken
 * history's own words when one breaks.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    histories: { type: 'string', default: '20000' },
    seconds: { type: 'string', default: '600' },
    plant: { type: 'string' },
  },
});
const jobs = availableParallelism();
const each = Math.ceil(Number(values.histories) / jobs);
const startedAt = performance.now();
const children = Array.from({ length: jobs }, (_, i) => {
  const own = ['--seed', String(Number(values.seed) + i), '--stride', String(jobs), '--histories', String(each)];
  const rest = ['--seconds', values.seconds, ...(values.plant === undefined ? [] : ['--plant', values.plant])];
  return spawn(process.execPath, [join(import.meta.dirname, 'run.ts'), ...own, ...rest], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
});
const runs = await Promise.all(
  children.map(async (child) => {
    let output = '';
    child.stdout.on('data', (piece) => (output += String(piece)));
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    // One broken history is enough: the others are told to end.
    if (code !== 0) for (const other of children) other.kill();
    return { code, output };
  }),
);
const sumsOf = (output: string) =>
  JSON.parse(/^\{"first_seed".*$/m.exec(output)?.[0] ?? '{"histories":0,"messages":0,"submits":0}') as {
    histories: number;
    messages: number;
    submits: number;
  };
const seconds = (performance.now() - startedAt) / 1_000;
const sums = { jobs, histories: 0, messages: 0, submits: 0 };
for (const { output } of runs) {
  const { histories, messages, submits } = sumsOf(output);
  sums.histories += histories;
  sums.messages += messages;
  sums.submits += submits;
}
const perMinute = Math.round((sums.histories / seconds) * 60);
process.stdout.write(
  `${JSON.stringify({ first_seed: Number(values.seed), ...sums, seconds: Math.round(seconds), perMinute })}\n`,
);
const broken = runs.find(({ output }) => /^seed \d+ breaks:/m.test(output));
if (broken) process.stdout.write(broken.output.slice(broken.output.search(/^seed \d+ breaks:/m)));
process.exit(runs.some(({ code }) => code !== 0) ? 1 : 0);
