/** operator.json for a stack: the repository's own prefix table, with every operator at the simulator. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../local/places.ts';

export type OperatorSpec = {
  prefixes: string[];
  connector: string;
  http?: Record<string, unknown>;
  smpp?: Record<string, unknown>;
} & Record<string, unknown>;
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

/** Short waits, so that what takes seconds in earnest takes a moment here. */
const SMPP = {
  host: '127.0.0.1',
  binds: 1,
  window: 32,
  connect_timeout_ms: 1_000,
  response_timeout_ms: 1_000,
  reconnect: { min_ms: 50, max_ms: 200 },
};

/**
 * @param simulatorUrl without a slash at its end
 * @param smppPort the simulator's, for operators that are patched to speak SMPP
 */
export function operatorsSpec(simulatorUrl: string, patches: OperatorPatches = {}, smppPort = 0): OperatorsSpec {
  const operators: Record<string, OperatorSpec> = {};
  for (const [name, { prefixes }] of Object.entries(repository.operators)) {
    const {
      http = {},
      smpp = {},
      ...patch
    } = { ...patches['*'], ...patches[name] } as {
      http?: Record<string, unknown>;
      smpp?: Record<string, unknown>;
      connector?: string;
    };
    const login = name.toLowerCase();
    operators[name] = {
      prefixes,
      ...DEFAULTS,
      http: { url: `${simulatorUrl}/${login}`, timeout_ms: 500, window: 32, ...http },
      ...(patch.connector === 'smpp'
        ? { smpp: { ...SMPP, port: smppPort, system_id: login, password: login, ...smpp } }
        : {}),
      ...patch,
    };
  }
  return { operators, ported_numbers: {} };
}
