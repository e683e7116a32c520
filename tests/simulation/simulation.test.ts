/**
 * A bounded part of the simulation, each run a process of its own: the simulated clock takes the place of the real one.
 * More of it: `bun tests/simulation/run.ts --seconds 600 --histories 1000000`.
 */
import { describe, expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { PLANTS } from './plants.ts';

const RUN = join(import.meta.dirname, 'run.ts');
const TEST_TIMEOUT_MS = 150_000;

/** What a thousand histories must come to at least once: a simulation that never gets there says nothing of it. */
const PLACES = [
  ...['kills', 'freezes', 'leaves', 'rebalances'],
  ...['sent', 'failed', 'expired', 'no_answer', 'claim_left_behind', 'dead', 'last attempt', 'retrying', 'unknown'],
  ...['perhaps_sent', 'perhaps_double', 'partial', 'rerouted', 'fallback', 'taken unheard'],
  ...[
    'told accepted',
    'told rejected',
    'told transient',
    'told throttled',
    'told unknown',
    'told wrong_network',
    'told null',
  ],
  ...['receipted delivered', 'receipted undelivered', 'receipted sent', 'receipted failed'],
];

type Run = { code: number | null; output: string };

async function simulate(...args: string[]): Promise<Run> {
  const child = spawn(process.execPath, [RUN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => (output += String(piece)));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, output };
}

/** The seeds, counts and faults of each history. */
const historiesOf = ({ output }: Run): unknown[] =>
  output.split('\n').flatMap((line) => (line.startsWith('{"seed"') ? [JSON.parse(line)] : []));

describe('the seeded simulation', () => {
  test(
    'a thousand known histories keep every promise',
    async () => {
      const { code, output } = await simulate('--seed', '1', '--histories', '1000', '--seconds', '140');
      expect({ code, output }).toMatchObject({ code: 0 });
      expect(output).toContain('"histories":1000');
      const reached = JSON.parse(/^reached (.*)$/m.exec(output)?.[1] ?? '{}');
      expect(PLACES.filter((place) => reached[place] === undefined)).toEqual([]);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    'histories that nobody has seen before keep every promise; the seed is said',
    async () => {
      const seed = String(Date.now());
      process.stdout.write(`seed of this run: ${seed}\n`);
      const { code, output } = await simulate('--seed', seed, '--histories', '100000', '--seconds', '4');
      expect({ seed, code, output }).toMatchObject({ seed, code: 0 });
    },
    TEST_TIMEOUT_MS,
  );

  test(
    'a seed is a history: alone or after others, twice, turn by turn',
    async () => {
      const after = historiesOf(await simulate('--seed', '40', '--histories', '5', '--each'));
      const alone = historiesOf(await simulate('--seed', '44', '--histories', '1', '--each'));
      expect(after).toHaveLength(5);
      expect(alone).toEqual(after.slice(-1));
    },
    TEST_TIMEOUT_MS,
  );

  for (const name of Object.keys(PLANTS)) {
    test(
      `a planted bug is found within a minute: ${name.replaceAll('-', ' ')}`,
      async () => {
        const { code, output } = await simulate(
          '--seed',
          '1',
          '--histories',
          '100000',
          '--seconds',
          '60',
          '--plant',
          name,
        );
        expect(output).toMatch(/seed \d+ breaks:\n +(message|account) /);
        expect(code).toBe(1);
      },
      TEST_TIMEOUT_MS,
    );
  }
});
