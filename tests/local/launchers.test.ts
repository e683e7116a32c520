import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { identityOf } from '../../local/identity.ts';
import { launchersOf, watchLaunchers } from '../../local/launchers.ts';

/** Real, living pids with invented commands: the chain asks for the start time of each. */
function chainOf(commands: string[][]): number[] {
  const pids = [process.pid, process.ppid, 1];
  const byPid = new Map(
    commands.map((command, index) => [pids[index] as number, { command, parent: pids[index + 1] ?? 0 }]),
  );
  return launchersOf(process.pid, (pid) => byPid.get(pid) ?? null).map(({ pid }) => pid);
}

test('the chain of npx is followed up to npx itself', () => {
  expect(chainOf([['/x/bun', 'run', 'up'], ['npm exec bun run up']])).toEqual([process.pid, process.ppid]);
  expect(chainOf([['sh', '-c', "'bun' run up"], ['npm exec bun run up']])).toEqual([process.pid, process.ppid]);
});

test("a person's own shell is no part of the chain: its jobs may outlive it", () => {
  expect(chainOf([['/x/bun', 'run', 'up'], ['-bash']])).toEqual([process.pid]);
  expect(chainOf([['bash', '-c', 'bun run up &'], ['sshd']])).toEqual([]);
});

test('the end of a launcher is noticed, once', async () => {
  const launcher = spawn('sleep', ['60']);
  const pid = launcher.pid as number;
  let calls = 0;
  const noticed = new Promise<void>((resolve) => {
    watchLaunchers(
      [{ pid, identity: identityOf(pid) as string }],
      () => {
        calls++;
        resolve();
      },
      10,
    );
  });
  launcher.kill('SIGKILL');
  await once(launcher, 'exit');
  const keepAlive = setInterval(() => undefined, 1_000);
  await noticed;
  clearInterval(keepAlive);
  expect(calls).toBe(1);
});
