/** operator.json for a stack: the repository's own prefix table, with every operator at the simulator. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../local/places.ts';

export type OperatorSpec = { prefixes: string[]; connector: string; http?: Record<string, unknown> } & Record<
  string,
  unknown
>;
export type OperatorsSpec = { operators: Record<string, OperatorSpec>; ported_numbers: Record<string, string> };

/** What a test sets apart from the defaults below, by operator; `*` for all. */
export type OperatorPatches = Record<string, Record<string, unknown>>;

const DEFAULTS = {
  connector: 'http',
  on_unknown: 'wait',
  unknown_wait_s: 1,
  // One test's refusals must not keep another's messages waiting: the breaker has tests of its own.
  breaker: { failures: 1_000, open_s: 1, half_open_probes: 3 },
};

const repository = JSON.parse(readFileSync(join(ROOT, 'operator.json'), 'utf8')) as OperatorsSpec;

/** @param simulatorUrl without a slash at its end */
export function operatorsSpec(simulatorUrl: string, patches: OperatorPatches = {}): OperatorsSpec {
  const operators: Record<string, OperatorSpec> = {};
  for (const [name, { prefixes }] of Object.entries(repository.operators)) {
    const { http = {}, ...patch } = { ...patches['*'], ...patches[name] } as { http?: Record<string, unknown> };
    operators[name] = {
      prefixes,
      ...DEFAULTS,
      http: { url: `${simulatorUrl}/${name.toLowerCase()}`, timeout_ms: 500, window: 32, ...http },
      ...patch,
    };
  }
  return { operators, ported_numbers: {} };
}
