/** The operators of a benchmark: the prefixes of the repository's operator.json, all of them played by the simulator. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../local/places.ts';

export type Connector = 'http' | 'smpp';
export type OperatorName = 'MCI' | 'MTN' | 'Rightel';
export const OPERATORS: readonly OperatorName[] = ['MCI', 'MTN', 'Rightel'];

/** A number's first digits after the country's code, one prefix an operator. */
export const PREFIX: Readonly<Record<OperatorName, string>> = { MCI: '912', MTN: '935', Rightel: '920' };

/** Unanswered submits per operator: the same for every connector and for the peer. */
export const WINDOW = 100;

/** How the simulator knows an operator. */
export const simulatorName = (operator: OperatorName): string => operator.toLowerCase();

type Ports = { http: number; smpp: number };

/**
 * An operator.json in which every operator is the simulator.
 * @param unknownWaitS how long an unknown outcome waits before it is refunded: short, so that a scenario with faults ends
 */
export function operatorsJson(connector: Connector, { http, smpp }: Ports, unknownWaitS: number): string {
  const own = JSON.parse(readFileSync(join(ROOT, 'operator.json'), 'utf8')) as {
    operators: Record<string, { prefixes: string[] }>;
  };
  const operators = OPERATORS.map((name) => {
    const id = simulatorName(name);
    const link =
      connector === 'http'
        ? { http: { url: `http://127.0.0.1:${http}/${id}`, timeout_ms: 2_000, window: WINDOW } }
        : {
            smpp: { host: '127.0.0.1', port: smpp, system_id: id, password: id, binds: 1, window: WINDOW },
          };
    // Nothing may be accepted twice: `wait`, and the simulator removes no duplicates, so that each one would be seen.
    const common = { prefixes: own.operators[name]?.prefixes, connector, on_unknown: 'wait' };
    return [name, { ...common, unknown_wait_s: unknownWaitS, ...link }];
  });
  return JSON.stringify({ operators: Object.fromEntries(operators), ported_numbers: {} }, null, 2);
}
