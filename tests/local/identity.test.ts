import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { identityOf, isSame, statFields } from '../../local/identity.ts';

test('a process is the same as long as it runs, and none when it has ended', async () => {
  const child = spawn('sleep', ['60']);
  const pid = child.pid as number;
  const identity = identityOf(pid) as string;
  expect(isSame(pid, identity)).toBe(true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(identityOf(pid)).toBeNull();
  expect(isSame(pid, identity)).toBe(false);
});

test('a pid with another start time is another process', () => {
  expect(isSame(process.pid, '1@another boot')).toBe(false);
});

test("a command's name may hold blanks and brackets", () => {
  expect(statFields('12 (a) b (c)) S 7 12').slice(0, 2)).toEqual(['S', '7']);
});
