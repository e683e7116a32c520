import { expect, test } from 'bun:test';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { getPriority } from 'node:os';
import { statFields } from '../../../local/identity.ts';
import { asBatch, setTurn, type Turn } from '../../../local/servers/scheduling.ts';

/** `policy` of proc_pid_stat(5), the 41st field, where statFields begins with the third. */
const POLICY_AT = 38;
const SCHED_BATCH = '3';

const run = (command: string, args: string[]) => spawnSync(command, args, { encoding: 'utf8' });

test('what is started runs under SCHED_BATCH where it may, with its own arguments, output and exit code', () => {
  const plain = statFields(run('cat', ['/proc/self/stat']).stdout)[POLICY_AT] as string;
  const mayBatch = run('chrt', ['--batch', '0', 'true']).status === 0;
  for (const turn of ['first', 'among', 'last'] as const) {
    const { command, args } = asBatch('sh', ['-c', 'cat /proc/self/stat; exit 7'], turn);
    const { stdout, status } = run(command, args);
    expect(status).toBe(7);
    expect(statFields(stdout)[POLICY_AT]).toBe(mayBatch && turn !== 'first' ? SCHED_BATCH : plain);
  }
});

test('who goes first has more than its part where that may be asked for, who goes last has less', async () => {
  const mine = getPriority();
  const mayRaise = run('nice', ['-n', '-15', 'nice']).stdout.trim() === String(Math.max(-20, mine - 15));
  const nicenessOf = async (turn: Turn): Promise<number> => {
    const child = spawn('cat', { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    try {
      setTurn(child.pid as number, turn);
      return getPriority(child.pid as number);
    } finally {
      child.stdin.end();
      await once(child, 'exit');
    }
  };
  expect(await nicenessOf('first')).toBe(mayRaise ? -15 : mine);
  expect(await nicenessOf('among')).toBe(mine);
  expect(await nicenessOf('last')).toBe(Math.max(mine, 5));
});
