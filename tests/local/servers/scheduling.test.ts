import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { statFields } from '../../../local/identity.ts';
import { asBatch } from '../../../local/servers/scheduling.ts';

/** `policy` of proc_pid_stat(5), the 41st field, where statFields begins with the third. */
const POLICY_AT = 38;
const SCHED_BATCH = '3';

const run = (command: string, args: string[]) => spawnSync(command, args, { encoding: 'utf8' });

test('what is started runs under SCHED_BATCH where it may, with its own arguments, output and exit code', () => {
  const { command, args } = asBatch('sh', ['-c', 'cat /proc/self/stat; exit 7']);
  const { stdout, status } = run(command, args);
  expect(status).toBe(7);
  const plain = statFields(run('cat', ['/proc/self/stat']).stdout)[POLICY_AT] as string;
  const mayBatch = run('chrt', ['--batch', '0', 'true']).status === 0;
  expect(statFields(stdout)[POLICY_AT]).toBe(mayBatch ? SCHED_BATCH : plain);
});
