/** One-time passwords while a campaign is on its way: how long from the 202 to the submit at the operator. */
import { setTimeout as delay } from 'node:timers/promises';
import { Stopped } from '../../local/wait.ts';
import { queueBacklog } from '../backlog.ts';
import type { Bench, Run } from '../bench.ts';
import { checkBooks } from '../check.ts';
import { drained, finalCount } from '../drain.ts';
import { latencyFigures, planOf, send } from '../measure.ts';
import { arrivals, turn } from '../operators.ts';

import { phoneOf, sendShots } from '../shots.ts';
import { percentile, rounded } from '../statistics.ts';

const PER_S = 200;
const CONNECTIONS_MAX = 256;
const OPERATOR = 'MCI';
/** Its last digits are on no number of a campaign, so that the simulator's records of it are those of the express messages. */
const PHONE_SERIAL = 9_999_999;
const LOOK_EVERY_MS = 3_000;
const ARRIVED_WITHIN_MS = 60_000;

export async function expressUnderBacklog(bench: Bench): Promise<Run[]> {
  const { options, stack, books } = bench;
  const ratePerS = options.ratePerS || PER_S;
  const finalBefore = await finalCount(bench);
  const queued = await queueBacklog(bench, options.backlog);
  await turn(stack, OPERATOR, { record: 'full' });
  await stack.services.dispatcher.restart();

  bench.say(`express-under-backlog: ${ratePerS} express a second for ${options.seconds} s …`);
  const phone = phoneOf(OPERATOR, PHONE_SERIAL);
  const shots = await sendShots(bench, { accounts: books.accounts, operators: [OPERATOR], type: 'express', phone });
  const plan = planOf(bench, { shots, connections: CONNECTIONS_MAX, ratePerS, keepSerials: true });
  const seen = new Map<number, number>();
  let over = false;
  // The simulator keeps the newest records alone: they are fetched before the campaign pushes them out.
  const look = async (): Promise<void> => {
    for (const [serial, at] of await arrivals(stack, OPERATOR, `+98${phone.slice(1)}`)) {
      if (!seen.has(serial)) seen.set(serial, at);
    }
  };
  const looking = (async () => {
    while (!over && !bench.signal.aborted) {
      await look();
      await delay(LOOK_EVERY_MS);
    }
  })();
  const result = await send(bench, plan).finally(() => {
    over = true;
  });
  const left = finalBefore + queued + result.accepted - (await finalCount(bench));
  await looking;
  const until = performance.now() + ARRIVED_WITHIN_MS;
  while (seen.size < result.accepted && performance.now() < until) {
    if (bench.signal.aborted) throw new Stopped();
    await look();
    await delay(250);
  }
  await turn(stack, OPERATOR, { record: 'counts' });

  const waits = result.serials
    .filter(([serial]) => seen.has(serial))
    // The submit may be there before the client has read its 202.
    .map(([serial, acceptedAt]) => Math.max(0, (seen.get(serial) as number) - acceptedAt));
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
