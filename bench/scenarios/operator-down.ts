/** One of three operators refuses connections or says nothing: what the other two lose. */
import type { Bench, Run } from '../bench.ts';
import { checkBooks } from '../check.ts';
import { drained, finalCount } from '../drain.ts';
import { planOf, send } from '../measure.ts';
import { countersOf, turn } from '../operators.ts';
import { OPERATORS, type OperatorName, simulatorName } from '../operators-file.ts';
import { kindOf, sendShots } from '../shots.ts';
import { median, rounded } from '../statistics.ts';

const DOWN: OperatorName = 'MCI';
const OTHERS = OPERATORS.filter((name) => name !== DOWN);
const HEALTHY = { accept_connections: true, freeze: false };
/** The dials of the operator that is down. */
const STATES = {
  healthy: HEALTHY,
  refusing: { accept_connections: false, freeze: false },
  silent: { accept_connections: true, freeze: true },
} as const;
type State = keyof typeof STATES;

async function othersAccepted({ stack }: Bench): Promise<number> {
  const each = await Promise.all(OTHERS.map((name) => countersOf(stack, simulatorName(name))));
  return each.reduce((sum, { messages }) => sum + messages, 0);
}

/** The others' submits a second while one is in this state; then all is healed and drained. */
async function measure(bench: Bench, state: State): Promise<number> {
  const finalBefore = await finalCount(bench);
  const shots = await sendShots(bench, { ...kindOf(bench), operators: OPERATORS });
  await turn(bench.stack, DOWN, STATES[state]);
  const before = await othersAccepted(bench);
  const result = await send(
    bench,
    planOf(bench, { shots, connections: Math.max(...bench.options.connections) }),
  ).finally(() => turn(bench.stack, DOWN, HEALTHY));
  const submitted = (await othersAccepted(bench)) - before;
  await drained(bench, finalBefore + result.accepted);
  return submitted / ((result.endedAt - result.startedAt) / 1_000);
}

export async function operatorDown(bench: Bench): Promise<Run[]> {
  const { rounds } = bench.options;
  const speeds: Record<State, number[]> = { healthy: [], refusing: [], silent: [] };
  for (let round = 1; round <= rounds; round++) {
    for (const state of Object.keys(STATES) as State[]) {
      bench.say(`operator-down: round ${round} of ${rounds}, ${DOWN} is ${state} …`);
      speeds[state].push(await measure(bench, state));
    }
  }
  const healthy = median(speeds.healthy);
  const against = (state: State): number => rounded(median(speeds[state]) / healthy, 2);
  return [
    {
      scenario: 'operator-down',
      title: 'operator down',
      figures: {
        rounds,
        others_submitted_per_s: Object.fromEntries(
          Object.entries(speeds).map(([state, list]) => [`while_${state}`, rounded(median(list), 0)]),
        ),
        others_against_healthy: { while_refusing: against('refusing'), while_silent: against('silent') },
      },
      violations: await checkBooks(bench, true),
    },
  ];
}
