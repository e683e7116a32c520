/**
 * The same load, operator and measures against Kannel, alternating with ours in one run, so that both meet the same machine.
 * Done means there: submitted to the operator; here: the row in PostgreSQL is `sent` and the money is posted.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Stopped } from '../local/wait.ts';
import type { Bench, Figures, Run } from './bench.ts';
import { checkBooks } from './check.ts';
import { type Kannel, kannelShots, startKannel } from './kannel.ts';
import { latencyFigures, measureLoad, planOf, refusalFigures } from './measure.ts';
import { countersOf } from './operators.ts';
import { usageOf } from './processes.ts';
import { batchShots, sendShots } from './shots.ts';
import { median, rounded } from './statistics.ts';

const BATCH_CONNECTIONS = 16;
const EVERY_MS = 50;
/**
 * smsbox 1.4.5 now and then overlooks a request on a connection that is kept alive, until its own timeout closes that: such an
 * answer is not waited for, or its time would be the whole result. They are told as answers lost.
 */
const GRACE_MS = 2_000;
const STUCK_MS = 30_000;

type Contender = { name: string; measure: () => Promise<Figures> };

/** Waits until the operator has so many messages of Kannel's. Answers when, epoch milliseconds. */
async function submitted({ stack, signal }: Bench, wanted: number): Promise<number> {
  let last = -1;
  let movedAt = performance.now();
  for (;;) {
    const { messages } = await countersOf(stack, 'kannel');
    if (messages >= wanted) return Date.now();
    if (signal.aborted) throw new Stopped();
    if (messages !== last) {
      last = messages;
      movedAt = performance.now();
    } else if (performance.now() - movedAt > STUCK_MS)
      throw new Error(`the operator got ${messages} of the ${wanted} messages that Kannel took, and no more come`);
    await delay(EVERY_MS);
  }
}

async function measureKannel(bench: Bench, kannel: Kannel, connections: number): Promise<Figures> {
  const pids = { bearerbox: kannel.bearerbox.pid, smsbox: kannel.smsbox.pid };
  const { messages } = await countersOf(bench.stack, 'kannel');
  const before = usageOf(pids);
  const shots = kannelShots(kannel);
  const plan = planOf(bench, { shots, connections, port: kannel.sendPort, graceMs: GRACE_MS });
  const result = await bench.load.run(plan);
  const at = await submitted(bench, messages + result.accepted);
  const after = usageOf(pids, true);
  const cpu = (name: keyof typeof pids): number =>
    ((after[name]?.cpuUs ?? 0) - (before[name]?.cpuUs ?? 0)) / result.accepted;
  const loadS = (result.endedAt - result.startedAt) / 1_000;
  return {
    accepted: result.accepted,
    accepted_per_s: rounded(result.accepted / loadS, 0),
    final_per_s: rounded(result.accepted / ((at - result.startedAt) / 1_000), 0),
    ...latencyFigures(result),
    ...refusalFigures(result),
    cpu_us_per_message: rounded(cpu('bearerbox') + cpu('smsbox'), 1),
    cpu_us: { bearerbox: rounded(cpu('bearerbox'), 1), smsbox: rounded(cpu('smsbox'), 1) },
    memory_mb: Object.fromEntries(
      Object.keys(pids).map((name) => [name, rounded((after[name]?.memoryBytes ?? 0) / 1_048_576, 0)]),
    ),
  };
}

/** The middle of each figure over the rounds, group by group. Pure. */
export function medians(rounds: readonly Figures[]): Figures {
  const names = [...new Set(rounds.flatMap((figures) => Object.keys(figures)))];
  const middle = (values: unknown[]): number => median(values.filter((value) => typeof value === 'number'));
  return Object.fromEntries(
    names.map((name) => {
      const values = rounds.map((figures) => figures[name]);
      const groups = values.filter((value) => typeof value === 'object');
      if (groups.length === 0) return [name, middle(values)];
      const keys = [...new Set(groups.flatMap((group) => Object.keys(group)))];
      return [name, Object.fromEntries(keys.map((key) => [key, middle(groups.map((group) => group[key]))]))];
    }),
  );
}

/** Ours and Kannel's in turn, `rounds` times; a column of medians each, with the ratio of ours to each of theirs. */
export async function againstKannel(bench: Bench): Promise<Run[]> {
  const { options, say } = bench;
  const connections = Math.max(...options.connections);
  say('Starting Kannel …');
  const file = await startKannel(bench, 'file');
  const spool = await startKannel(bench, 'spool');
  const ours = (plan: Parameters<typeof planOf>[1]) => async () =>
    (await measureLoad(bench, planOf(bench, plan))).figures;
  const shots = await sendShots(bench);
  const batch = await batchShots(bench, options.batchSize);
  const contenders: Contender[] = [
    { name: `ours, send ${connections}`, measure: ours({ shots, connections }) },
    { name: 'kannel file', measure: () => measureKannel(bench, file, connections) },
    { name: 'kannel spool', measure: () => measureKannel(bench, spool, connections) },
    { name: `ours, batch ${options.batchSize}`, measure: ours({ shots: batch, connections: BATCH_CONNECTIONS }) },
  ];
  const rounds = new Map<string, Figures[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 1; round <= options.rounds; round++) {
    for (const { name, measure } of contenders) {
      say(`round ${round} of ${options.rounds}: ${name} …`);
      const figures = await measure();
      rounds.get(name)?.push(figures);
      say(`  ${figures.final_per_s} messages/s end to end`);
    }
  }
  const runs = contenders.map(
    ({ name }): Run => ({ scenario: 'peer', title: name, figures: medians(rounds.get(name) ?? []), violations: [] }),
  );
  const speed = (name: string): number =>
    (runs.find(({ title }) => title === name)?.figures.final_per_s as number) ?? 0;
  for (const run of runs.filter(({ title }) => title.startsWith('ours'))) {
    run.figures.against_kannel_file = rounded(speed(run.title) / speed('kannel file'), 2);
    run.figures.against_kannel_spool = rounded(speed(run.title) / speed('kannel spool'), 2);
    run.figures.each_round = (rounds.get(run.title) ?? []).map(({ final_per_s }) => final_per_s).join(' ');
  }
  const theirs = await countersOf(bench.stack, 'kannel');
  (runs[0] as Run).violations = await checkBooks(bench);
  if (theirs.doubled > 0) (runs[1] as Run).figures.accepted_twice_by_the_operator = theirs.doubled;
  return runs;
}
