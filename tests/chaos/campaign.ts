/**
 * `bun run test:chaos`: the whole product under load for as long as asked, with a fault every few seconds by seed. At regular
 * points everything is drained and the history since the last one held against the rules; a violation, a failpoint that was
 * not reached and a process that ended by itself each fail the run. Ends with one table, and writes it down.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { commitOf, machineOf } from '../../bench/machine.ts';
import { type CommandScope, runCommand, say } from '../../local/command.ts';
import { FAILPOINTS, type Failpoint } from '../../shared/failpoint.ts';
import { createRandom } from '../simulation/random.ts';
import { checkEpoch, kindsOf } from './campaign/check.ts';
import { atFailpoint } from './campaign/failpoint-faults.ts';
import { faultsBySeed } from './campaign/faults.ts';
import { createLoad, type Load } from './campaign/load.ts';
import { calmOperators } from './campaign/operators.ts';
import { type Options, readOptions, USAGE } from './campaign/options.ts';
import { createSchedule, type Schedule } from './campaign/schedule.ts';
import { addRow, type Result, readResults, tableOf, totalOf, writeResult } from './campaign/table.ts';
import { complaintsOf } from './campaign/verdict.ts';
import { openWorld, type World } from './campaign/world.ts';

type Run = { world: World; load: Load; schedule: Schedule; result: Result; posted: Map<string, number>; seen: number };

/** A failpoint that the schedule did not reach gets so many turns of its own before it fails the run. */
const MISSED_TRIES = 3;

const seconds = (ms: number): string => (ms / 1_000).toFixed(0);

/** Faults and load until the time is over or the command is stopped; a failpoint that is still missing gets its turn last. */
async function attack({ load, schedule }: Run, ms: number, signal: AbortSignal): Promise<void> {
  load.go();
  schedule.go();
  await delay(ms, undefined, { signal }).catch(() => undefined);
  await schedule.pause();
}

/** Drains and checks what came since the last check, and adds it to the result. */
async function check(run: Run, epoch: number): Promise<void> {
  const { world, load, schedule, result, posted } = run;
  const began = performance.now();
  await load.pause();
  calmOperators(world.simulator);
  const windows = schedule.windows.slice(run.seen);
  run.seen = schedule.windows.length;
  const finding = await checkEpoch(world, { told: load.told, charged: load.charged, windows }, posted);
  for (const [userId, sum] of finding.posted) posted.set(userId, sum);
  result.checks += 1;
  result.messages += finding.messages;
  result.faults += windows.length;
  for (const [end, n] of Object.entries(finding.ends)) result.ends[end] = (result.ends[end] ?? 0) + n;
  for (const { kind, messages } of windows) addRow(result.rows, kind, { count: 1, messages, violations: 0 });
  for (const violation of finding.violations) {
    result.violations.push(violation);
    for (const kind of kindsOf(violation, windows)) addRow(result.rows, kind, { count: 0, messages: 0, violations: 1 });
    say(`  VIOLATION ${violation}`);
  }
  say(
    `Check ${epoch}: ${finding.messages} messages under ${windows.length} faults, ${finding.violations.length} violations; ` +
      `drained in ${seconds(finding.drainedMs)} s, read in ${seconds(performance.now() - began - finding.drainedMs)} s. ${JSON.stringify(finding.ends)}`,
  );
  world.simulator.reset();
  calmOperators(world.simulator);
}

async function campaign(run: Run, options: Options, signal: AbortSignal): Promise<void> {
  const { load, schedule, result } = run;
  const end = performance.now() + options.durationMs;
  for (let epoch = 1; performance.now() < end && !signal.aborted; epoch++) {
    await load.begin(epoch);
    const left = end - performance.now();
    // A last piece that is too short for anything is the last but one's.
    const piece = left < options.checkEveryMs * 1.5 ? left : options.checkEveryMs;
    await attack(run, piece, signal);
    const isLast = end - performance.now() < 1_000;
    for (let tries = isLast ? MISSED_TRIES : 0; tries > 0 && !signal.aborted; tries--) {
      const missing = FAILPOINTS.filter((name) => !result.failpoints[name]);
      await schedule.runAll(missing.map((name) => atFailpoint(name, onHit(result))));
    }
    // Whoever stops it does not want to wait for a drain.
    if (!signal.aborted) await check(run, epoch);
  }
}

const onHit =
  (result: Result) =>
  (name: Failpoint): void => {
    result.failpoints[name] = (result.failpoints[name] ?? 0) + 1;
  };

async function chaos({ signal, defer }: CommandScope): Promise<number> {
  const options = readOptions(process.argv.slice(2), Math.floor(Math.random() * 1_000_000_000));
  if (options === null) {
    say(USAGE);
    return 0;
  }
  if (options.total) {
    const results = readResults();
    const total = totalOf(results);
    say(tableOf(total));
    say(
      `${results.length} runs, ${Math.round(total.seconds / 60)} minutes, ${total.checks} checks, ${total.ownEnds.length} own ends`,
    );
    say(JSON.stringify({ ends: total.ends, failpoints: total.failpoints }, null, 2));
    return 0;
  }
  const began = performance.now();
  say(`Seed ${options.seed}, ${seconds(options.durationMs)} s, ${options.ratePerS} messages/s.`);
  const result: Result = {
    at: new Date().toISOString(),
    commit: commitOf(),
    seed: options.seed,
    machine: machineOf(),
    seconds: 0,
    faults: 0,
    messages: 0,
    checks: 0,
    violations: [],
    ownEnds: [],
    ends: {},
    failpoints: {},
    rows: {},
  };
  const world = await openWorld(say, defer);
  // A row of their own each, so that what one draws does not depend on how fast another is.
  const load = createLoad(world, options.ratePerS, createRandom(options.seed + 1), `c${options.seed}-`);
  defer(() => load.close());
  const faults = faultsBySeed(createRandom(options.seed), onHit(result));
  const random = createRandom(options.seed + 2);
  const schedule = createSchedule({ world, faults, random, accepted: () => load.accepted, say });
  defer(() => schedule.close());
  await campaign({ world, load, schedule, result, posted: new Map(), seen: 0 }, options, signal);
  result.seconds = Math.round((performance.now() - began) / 1_000);
  result.ownEnds.push(...schedule.ownEnds);
  say(`\n${tableOf(result)}\n`);
  say(`Seed ${result.seed}. Written to ${writeResult(result)}.`);
  const complaints = complaintsOf(result, schedule.troubles);
  for (const complaint of complaints) say(complaint);
  if (signal.aborted) return 130;
  return complaints.length === 0 ? 0 : 1;
}

await runCommand(chaos);
