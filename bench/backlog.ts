/** A queue of normal messages that waits: made while the dispatcher is away. */
import type { Bench } from './bench.ts';
import { planOf, send } from './measure.ts';
import { batchShots, kindOf } from './shots.ts';

const BATCH = 500;
const CONNECTIONS = 8;
const SECONDS_MAX = 7_200;

/** Ends the dispatcher and queues `count` normal messages (rounded up to whole batches). Answers how many. */
export async function queueBacklog(bench: Bench, count: number): Promise<number> {
  await bench.stack.services.dispatcher.stop();
  bench.say(`Queueing ${count} messages …`);
  const shots = await batchShots(bench, BATCH, { ...kindOf(bench), type: 'normal' });
  const requestsMax = Math.ceil(count / BATCH);
  const { accepted, statuses, lost } = await send(
    bench,
    planOf(bench, { shots, connections: CONNECTIONS, requestsMax, seconds: SECONDS_MAX }),
  );
  if (accepted < count)
    throw new Error(`only ${accepted} of ${count} were queued: ${JSON.stringify(statuses)}, ${lost} answers lost`);
  return accepted;
}
