/** `bun run bench`: runs scenarios on a stack of their own, prints one table and writes bench/results/<date>.json. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CommandScope, runCommand, say } from '../local/command.ts';
import { Stopped } from '../local/wait.ts';
import { type Bench, openBench, type Run } from './bench.ts';
import { drained, finalCount } from './drain.ts';
import { kannelVersion } from './kannel.ts';
import { commitOf, machineOf, versionsOf } from './machine.ts';
import { planOf, send as sendLoad } from './measure.ts';
import { type Options, readOptions, USAGE } from './options.ts';
import { againstKannel } from './peer.ts';
import { hotLines } from './profile.ts';
import { SCENARIO } from './scenarios/all.ts';
import { sendShots } from './shots.ts';
import { tableOf } from './table.ts';

const RESULTS = join(import.meta.dirname, 'results');
const WARM_UP_CONNECTIONS = 64;

/** Kafka's virtual machine and ours take their time to be at their best; nothing of this counts. */
async function warmUp(bench: Bench): Promise<void> {
  const { warmUpS } = bench.options;
  if (warmUpS === 0) return;
  bench.say(`Warming up for ${warmUpS} s …`);
  const before = await finalCount(bench);
  const shots = await sendShots(bench);
  const { accepted } = await sendLoad(
    bench,
    planOf(bench, { shots, connections: WARM_UP_CONNECTIONS, seconds: warmUpS }),
  );
  await drained(bench, before + accepted);
}

function writeResults(options: Options, versions: Record<string, string>, runs: readonly Run[]): string {
  mkdirSync(RESULTS, { recursive: true });
  const at = new Date().toISOString();
  const file = join(RESULTS, `${at.slice(0, 19).replaceAll(':', '-')}.json`);
  const whole = { at, commit: commitOf(), machine: machineOf(), versions, settings: options, runs };
  writeFileSync(file, `${JSON.stringify(whole, null, 2)}\n`);
  return file;
}

/** Scenario after scenario. One that fails ends the row, since nobody knows what it left behind; what was measured stays. */
async function runAll(bench: Bench): Promise<Run[]> {
  const { peer, scenarios } = bench.options;
  const runs: Run[] = [];
  const steps = peer
    ? [{ name: `--peer ${peer}`, measure: againstKannel }]
    : scenarios.map((name) => ({ name, measure: SCENARIO[name] }));
  for (const { name, measure } of steps) {
    try {
      runs.push(...(await measure(bench)));
    } catch (thrown) {
      if (thrown instanceof Stopped) throw thrown;
      const violations = [`it did not come to its end: ${(thrown as Error).message}`];
      return [...runs, { scenario: name, title: name, figures: {}, violations }];
    }
  }
  return runs;
}

async function bench({ signal, defer }: CommandScope): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === null) {
    say(USAGE);
    return 0;
  }
  // Asked first: without the peer nothing need be started.
  const peer: Record<string, string> = options.peer ? { kannel: await kannelVersion() } : {};
  const opened = await openBench({ options, signal, say, defer });
  const versions = { ...(await versionsOf(opened)), ...peer };
  await warmUp(opened);
  const runs = await runAll(opened);
  say(`\n${tableOf(runs)}\n`);
  say(`Written to ${writeResults(options, versions, runs)}.`);
  if (options.profileDir) {
    // A profile is written when its process ends.
    await Promise.all(Object.values(opened.stack.services).map((service) => service.stop()));
    for (const line of hotLines(options.profileDir)) say(line);
  }
  const violations = runs.flatMap((run) => run.violations.map((violation) => `${run.title}: ${violation}`));
  for (const violation of violations) say(`VIOLATION ${violation}`);
  return violations.length === 0 ? 0 : 1;
}

await runCommand(bench);
