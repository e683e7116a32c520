import { expect, test } from 'bun:test';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createQuota, followLog, isNoteworthy } from '../../local/follow-log.ts';

test('only whole lines that came after the start are shown, each once, also when the file begins anew', () => {
  const dir = mkdtempSync(join(tmpdir(), 'jsms-follow-'));
  const log = join(dir, 'billing.log');
  writeFileSync(log, 'of the last start\n');
  const lines: string[] = [];
  const follower = followLog(log, (line) => lines.push(line));
  appendFileSync(log, 'one\ntw');
  follower.drain();
  expect(lines).toEqual(['one']);
  appendFileSync(log, 'o: ۱۲\n');
  follower.drain();
  follower.drain();
  expect(lines).toEqual(['one', 'two: ۱۲']);
  writeFileSync(log, 'new\n');
  follower.drain();
  expect(lines).toEqual(['one', 'two: ۱۲', 'new']);
  follower.stop();
  rmSync(dir, { recursive: true });
});

test.each([
  ['{"level":"info","event":"ready"}', false],
  ['{"level":"debug"}', false],
  ['{"level":"warn","event":"slow"}', true],
  ['{"level":"error","event":"unfit"}', true],
  ['HOST: 0.0.0.0 is not the loopback', true],
  ['', false],
])('the line %p is worth showing: %p', (line, answer) => {
  expect(isNoteworthy(line)).toBe(answer);
});

test('a flood of warnings is cut and counted', () => {
  let at = 0;
  const shown: string[] = [];
  const show = createQuota(
    (line) => shown.push(line),
    () => at,
  );
  for (let i = 1; i <= 100; i++) show(`w${i}`);
  expect(shown).toEqual(['w1', 'w2', 'w3', 'w4', 'w5']);
  at = 5_000;
  show('later');
  expect(shown.slice(5)).toEqual(['… and 95 more lines, in the log', 'later']);
});
