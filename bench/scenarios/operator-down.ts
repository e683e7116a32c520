/** One of three operators refuses connections or says nothing: what the other two lose, in speed and in time. */
import { watchArrivals } from '../arrivals.ts';
import type { Bench, Figures, Run } from '../bench.ts';
import { checkBooks } from '../check.ts';
import { drained, finalCount } from '../drain.ts';
import { type LoadProcess, startLoad } from '../load-process.ts';
import { planOf, send } from '../measure.ts';
import { countersOf, turn } from '../operators.ts';
import { OPERATORS, type OperatorName, simulatorName } from '../operators-file.ts';
import { kindOf, sendShots } from '../shots.ts';
import { median, percentile, rounded } from '../statistics.ts';

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
const STATE_NAMES = Object.keys(STATES) as State[];

/** Beside the load, to one of the others: each is followed from its 202 to its submit. */
const WATCHED = { operator: OTHERS[0] as OperatorName, ratePerS: 50, connections: 256 } as const;
const STEADY_PER_S = 500;
const CONNECTIONS_MAX = 512;

/** What the others did while one was in a state. */
type Seen = { perS: number; p99Ms: number };

async function othersAccepted({ stack }: Bench): Promise<number> {
  const each = await Promise.all(OTHERS.map((name) => countersOf(stack, simulatorName(name))));
  return each.reduce((sum, { messages }) => sum + messages, 0);
}

/** Load for all three while one is in this state; then all is healed and drained. */
async function measure(bench: Bench, beside: LoadProcess, state: State, ratePerS: number): Promise<Seen> {
  const finalBefore = await finalCount(bench);
  const kind = kindOf(bench);
  const watch = await watchArrivals(bench, WATCHED.operator);
  try {
    const shots = await sendShots(bench, { ...kind, operators: OPERATORS });
    const watched = await sendShots(bench, { ...kind, operators: [WATCHED.operator], phone: watch.phone });
    const connections = ratePerS > 0 ? CONNECTIONS_MAX : Math.max(...bench.options.connections);
    await turn(bench.stack, DOWN, STATES[state]);
    const before = await othersAccepted(bench);
    const [load, followed] = await Promise.all([
      send(bench, planOf(bench, { shots, connections, ratePerS })),
      send(bench, planOf(bench, { shots: watched, keepSerials: true, ...WATCHED }), beside),
    ]).finally(() => turn(bench.stack, DOWN, HEALTHY));
    const submitted = (await othersAccepted(bench)) - before;
    const waits = await watch.waits(followed);
    await drained(bench, finalBefore + load.accepted + followed.accepted);
    return { perS: submitted / ((load.endedAt - load.startedAt) / 1_000), p99Ms: percentile(waits, 0.99) };
  } finally {
    await watch.close();
  }
}

/** Rounds of all states in turn, the medians, and each state against the healthy one. */
async function compare(bench: Bench, beside: LoadProcess, ratePerS: number): Promise<Figures> {
  const { rounds } = bench.options;
  const seen: Record<State, Seen[]> = { healthy: [], refusing: [], silent: [] };
  for (let round = 1; round <= rounds; round++) {
    for (const state of STATE_NAMES) {
      bench.say(`operator-down: round ${round} of ${rounds}, ${ratePerS || 'full'} load, ${DOWN} is ${state} …`);
      seen[state].push(await measure(bench, beside, state, ratePerS));
    }
  }
  const of = (pick: (one: Seen) => number, digits: number) =>
    Object.fromEntries(STATE_NAMES.map((state) => [state, rounded(median(seen[state].map(pick)), digits)]));
  const against = (pick: (one: Seen) => number, state: State): number =>
    rounded(median(seen[state].map(pick)) / median(seen.healthy.map(pick)), 2);
  const figure = (pick: (one: Seen) => number, digits: number) => ({
    ...of(pick, digits),
    refusing_against_healthy: against(pick, 'refusing'),
    silent_against_healthy: against(pick, 'silent'),
  });
  const load = ratePerS > 0 ? `at_${ratePerS}_per_s` : 'at_full_load';
  return {
    [`others_submitted_per_s_${load}`]: figure(({ perS }) => perS, 0),
    [`others_accepted_to_submit_p99_ms_${load}`]: figure(({ p99Ms }) => p99Ms, 1),
  };
}

export async function operatorDown(bench: Bench): Promise<Run[]> {
  const beside = startLoad(bench.signal);
  bench.defer(() => beside.close());
  const { rounds, ratePerS } = bench.options;
  return [
    {
      scenario: 'operator-down',
      title: 'operator down',
      figures: {
        rounds,
        ...(await compare(bench, beside, ratePerS || STEADY_PER_S)),
        ...(await compare(bench, beside, 0)),
      },
      violations: await checkBooks(bench, true),
    },
  ];
}
