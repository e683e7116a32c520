/** The operators of the campaign, all played by the simulator: what each is like, and how it is between two faults. */
import { writeFileSync } from 'node:fs';
import type { Simulator } from '../../../simulator/index.ts';
import { operatorsSpec } from '../../support/operators-file.ts';

/** What follows a lost answer at each operator, and the link to it. */
export const OPERATORS = {
  MCI: { policy: 'wait', link: 'smpp', prefix: '912' },
  MTN: { policy: 'resend', link: 'http', prefix: '935' },
  Rightel: { policy: 'wait', link: 'http', prefix: '920' },
} as const;
export type OperatorName = keyof typeof OPERATORS;
export const WINDOW = 64;

/** operator.json, with every operator at these ports. */
export function writeOperators(file: string, httpPort: number, smppPort: number): void {
  const patches = Object.fromEntries(
    Object.entries(OPERATORS).map(([name, { policy, link }]) => [
      name,
      {
        connector: link,
        on_unknown: policy,
        unknown_wait_s: 2,
        breaker: { failures: 20, open_s: 1, half_open_probes: 3 },
        // The operators live in a busy process: an answer must not count as lost for being late.
        ...(link === 'smpp'
          ? { smpp: { window: WINDOW, connect_timeout_ms: 4_000, response_timeout_ms: 4_000 } }
          : { http: { window: WINDOW, timeout_ms: 4_000 } }),
      },
    ]),
  );
  writeFileSync(file, JSON.stringify(operatorsSpec(`http://127.0.0.1:${httpPort}`, patches, smppPort), null, 2));
}

/** Operators as they are between two faults; all of them when none is named. */
export function calmOperators(simulator: Simulator, ...only: readonly OperatorName[]): void {
  const names = only.length > 0 ? only.map((name) => name.toLowerCase()) : simulator.names;
  for (const name of names) {
    const receipts = name === 'mci' ? { mode: 'deliver' as const, delay_ms: 100, share_missing: 0.5 } : {};
    simulator.dials(name, {
      rules: [],
      throttle_tps: 0,
      freeze: false,
      accept_connections: true,
      drop_after_n: 0,
      dedupe: name === 'mtn',
      latency_ms: 5,
      latency_jitter_ms: 10,
      receipts,
    });
  }
}
