/** What the four services use while nobody sends anything. */
import { setTimeout as delay } from 'node:timers/promises';
import { Stopped } from '../../local/wait.ts';
import type { Bench, Run } from '../bench.ts';
import { PARTS, type ServiceName } from '../stack.ts';
import { rounded } from '../statistics.ts';

const SERVICES: readonly ServiceName[] = ['gateway', 'billing', 'dispatcher', 'report'];
/** Timers of the last load (confirmations, commits) come to rest. */
const REST_MS = 5_000;

export async function idle(bench: Bench): Promise<Run[]> {
  const { idleS } = bench.options;
  bench.say(`idle: ${idleS} s …`);
  const wait = (ms: number): Promise<void> =>
    delay(ms, undefined, { signal: bench.signal }).catch(() => {
      throw new Stopped();
    });
  await wait(REST_MS);
  const before = bench.stack.usage();
  const began = performance.now();
  await wait(idleS * 1_000);
  const after = bench.stack.usage(true);
  const elapsedUs = (performance.now() - began) * 1_000;
  const percentOf = (name: string): number =>
    (((after[name]?.cpuUs ?? 0) - (before[name]?.cpuUs ?? 0)) / elapsedUs) * 100;
  const services = SERVICES.reduce((sum, name) => sum + percentOf(name), 0);
  return [
    {
      scenario: 'idle',
      title: 'idle',
      figures: {
        services_percent_of_a_core: rounded(services, 2),
        percent_of_a_core: Object.fromEntries(PARTS.map((name) => [name, rounded(percentOf(name), 2)])),
        memory_mb: Object.fromEntries(
          PARTS.map((name) => [name, rounded((after[name]?.memoryBytes ?? 0) / 1_048_576, 0)]),
        ),
      },
      violations: [],
    },
  ];
}
