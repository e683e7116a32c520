/** The flags of `bun run test:chaos`. */
import { parseArgs } from 'node:util';

export type Options = {
  seed: number;
  durationMs: number;
  ratePerS: number;
  /** Between two checks of the history: what is kept in memory is what came since the last one. */
  checkEveryMs: number;
  /** Print the sum of the results that were written before, and run nothing. */
  total: boolean;
};

export const USAGE = `bun run test:chaos [flags]

The four services on a Kafka, Redis and PostgreSQL of their own, under load, with a fault every few seconds.

  --seed N           the schedule of faults and the load (default: drawn, and printed)
  --duration TIME    how long faults go on: 90s, 5m, 1h (default 5m, at most 2h)
  --rate COUNT       messages a second that clients send (default 1000)
  --check-every TIME how often all is drained and held against the rules (default 150s)
  --total            the sum of all results in tests/chaos/results, and no run`;

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };
const DURATION_MAX_MS = 2 * 3_600_000;

function timeOf(flag: string, text: string): number {
  const [, count, unit = ''] = /^([0-9]{1,5})([smh])$/.exec(text) ?? [];
  const ms = Number(count) * (UNITS[unit] ?? Number.NaN);
  if (!(ms > 0 && ms <= DURATION_MAX_MS))
    throw new Error(`--${flag}: must be a time such as 90s, 5m or 1h, at most 2h`);
  return ms;
}

function countOf(flag: string, text: string, max: number): number {
  const count = Number(text);
  if (!/^[0-9]{1,16}$/.test(text) || count < 1 || count > max)
    throw new Error(`--${flag}: must be a whole number from 1 to ${max}`);
  return count;
}

/** What the flags say; null where they ask for help. Throws a sentence for one that cannot be. */
export function readOptions(argv: readonly string[], drawn: number): Options | null {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seed: { type: 'string' },
      duration: { type: 'string', default: '5m' },
      rate: { type: 'string', default: '1000' },
      'check-every': { type: 'string', default: '150s' },
      total: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return null;
  return {
    seed: values.seed === undefined ? drawn : countOf('seed', values.seed, Number.MAX_SAFE_INTEGER),
    durationMs: timeOf('duration', values.duration),
    ratePerS: countOf('rate', values.rate, 20_000),
    checkEveryMs: timeOf('check-every', values['check-every']),
    total: values.total,
  };
}
