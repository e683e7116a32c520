/** One-time passwords while a campaign is on its way: how long from the 202 to the submit at the operator. */
import { setTimeout as delay } from 'node:timers/promises';
import { watchArrivals } from '../arrivals.ts';
import { queueBacklog } from '../backlog.ts';
import type { Bench, Run } from '../bench.ts';
import { checkBooks } from '../check.ts';
import { drained, finalCount } from '../drain.ts';
import type { LoadResult } from '../load/plan.ts';
import { latencyFigures, planOf, send } from '../measure.ts';
import { sendShots } from '../shots.ts';
import { percentile, rounded } from '../statistics.ts';

const PER_S = 200;
const CONNECTIONS_MAX = 256;
const OPERATOR = 'MCI';
/** The backlog alone, before express comes: what it does without, and a process that has just started is no measure. */
const ALONE_MS = 5_000;

export async function expressUnderBacklog(bench: Bench): Promise<Run[]> {
  const { options, stack, books } = bench;
  const ratePerS = options.ratePerS || PER_S;
  const finalBefore = await finalCount(bench);
  const queued = await queueBacklog(bench, options.backlog);
  const watch = await watchArrivals(bench, OPERATOR);
  await stack.services.dispatcher.restart();
  bench.say(`express-under-backlog: the backlog alone for ${ALONE_MS / 1_000} s …`);
  const perSecond = async (work: () => Promise<unknown>): Promise<number> => {
    const [before, began] = [await finalCount(bench), performance.now()];
    await work();
    return ((await finalCount(bench)) - before) / ((performance.now() - began) / 1_000);
  };
  const alone = await perSecond(() => delay(ALONE_MS));

  bench.say(`express-under-backlog: ${ratePerS} express a second for ${options.seconds} s …`);
  const { accounts } = books;
  const shots = await sendShots(bench, { accounts, operators: [OPERATOR], type: 'express', phone: watch.phone });
  const plan = planOf(bench, { shots, connections: CONNECTIONS_MAX, ratePerS, keepSerials: true });
  let result = {} as LoadResult;
  const beside = await perSecond(async () => {
    result = await send(bench, plan);
  });
  const left = finalBefore + queued + result.accepted - (await finalCount(bench));
  const waits = await watch.waits(result).finally(() => watch.close());
  const violations: string[] = [];
  if (waits.length < result.accepted)
    violations.push(`${result.accepted - waits.length} express messages did not arrive in time, or nobody saw them`);
  await drained(bench, finalBefore + queued + result.accepted);
  violations.push(...(await checkBooks(bench)));
  return [
    {
      scenario: 'express-under-backlog',
      title: 'express under backlog',
      figures: {
        backlog: queued,
        messages_left_when_express_ended: left,
        backlog_alone_per_s: Math.round(alone),
        all_beside_express_per_s: Math.round(beside),
        express_accepted: result.accepted,
        accepted_to_submit_p50_ms: rounded(percentile(waits, 0.5), 1),
        accepted_to_submit_p99_ms: rounded(percentile(waits, 0.99), 1),
        accepted_to_submit_max_ms: rounded(percentile(waits, 1), 1),
        ...latencyFigures(result),
      },
      violations,
    },
  ];
}
