/** Everything is killed in the middle of a campaign: how long until it is ready again, and until all is at its end. */

import { queueBacklog } from '../backlog.ts';
import type { Bench, Run } from '../bench.ts';
import { checkBooks } from '../check.ts';
import { drained, finalCount } from '../drain.ts';
import { rounded } from '../statistics.ts';

/** The part of the backlog that is done when the kill comes. */
const KILLED_AT = 0.05;

export async function restart(bench: Bench): Promise<Run[]> {
  const { stack, options } = bench;
  const { billing, gateway, dispatcher, report } = stack.services;
  const { kafka, redis, postgres } = stack.servers;
  const finalBefore = await finalCount(bench);
  const queued = await queueBacklog(bench, options.backlog);
  await dispatcher.restart();
  await drained(bench, finalBefore + Math.ceil(queued * KILLED_AT), 20);
  bench.say('restart: killing everything …');
  await Promise.all([billing, gateway, dispatcher, report, kafka, redis, postgres].map((one) => one.kill()));

  const began = performance.now();
  await Promise.all([kafka, redis, postgres].map((one) => one.restart()));
  const serversS = (performance.now() - began) / 1_000;
  await billing.restart();
  await Promise.all([gateway, dispatcher, report].map((one) => one.restart()));
  const readyS = (performance.now() - began) / 1_000;
  const finalAtReady = await finalCount(bench);
  bench.say('restart: all are ready again, draining …');
  const { final } = await drained(bench, finalBefore + queued);
  const wholeS = (performance.now() - began) / 1_000;
  const [flagged] = await bench.sql<{ count: number }[]>`
    SELECT count(*)::float8 AS count FROM messages WHERE user_id LIKE 'bench-%' AND flags @> '{perhaps_sent}'`;
  return [
    {
      scenario: 'restart',
      title: 'restart',
      figures: {
        backlog: queued,
        servers_answer_after_s: rounded(serversS, 1),
        services_ready_after_s: rounded(readyS, 1),
        all_final_after_s: rounded(wholeS, 1),
        final_per_s_once_ready: rounded((final - finalAtReady) / (wholeS - readyS), 0),
        refunded_as_perhaps_sent: flagged?.count ?? 0,
      },
      violations: await checkBooks(bench, true),
    },
  ];
}
