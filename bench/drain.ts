/** When everything that was accepted has come to its end in PostgreSQL. */
import { setTimeout as delay } from 'node:timers/promises';
import { Stopped } from '../local/wait.ts';
import type { Bench } from './bench.ts';

/** The report's totals by day are moved in the transaction that writes the rows: this costs PostgreSQL next to nothing. */
export async function finalCount({ sql }: Pick<Bench, 'sql'>): Promise<number> {
  const [row] = await sql<{ final: number }[]>`
    SELECT coalesce(sum(messages), 0)::float8 AS final FROM daily_totals
    WHERE status IN ('sent', 'failed', 'delivered', 'undelivered') AND user_id LIKE 'bench-%'`;
  return row?.final ?? 0;
}

const EVERY_MS = 100;
/** Nothing becomes final for so long: something is stuck. Longer than any wait of an unknown or a retry. */
const STUCK_MS = 90_000;

export type Drain = { final: number /** Epoch milliseconds. */; at: number };

/** Waits until `wanted` messages are final. Throws a sentence when nothing moves any more. */
export async function drained(bench: Bench, wanted: number, everyMs = EVERY_MS): Promise<Drain> {
  let last = -1;
  let lastMovedAt = performance.now();
  for (;;) {
    if (bench.signal.aborted) throw new Stopped();
    const final = await finalCount(bench).catch(() => last);
    if (final >= wanted) return { final, at: Date.now() };
    if (final !== last) {
      last = final;
      lastMovedAt = performance.now();
    } else if (performance.now() - lastMovedAt > STUCK_MS) {
      throw new Error(`${final} of ${wanted} messages are final, and for ${STUCK_MS / 1_000} s no other has become so`);
    }
    await delay(everyMs);
  }
}
