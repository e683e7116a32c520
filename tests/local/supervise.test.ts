import { expect, test } from 'bun:test';
import { supervise } from '../../local/supervise.ts';

function mortal(diesTimes: number) {
  let alive = diesTimes === 0;
  let restarts = 0;
  return {
    name: 'report',
    logFile: 'report.log',
    isAlive: () => alive,
    restart: async () => {
      restarts++;
      alive = restarts >= diesTimes;
    },
    restarts: () => restarts,
  };
}

test('what has ended by itself is started again and said', async () => {
  const stop = new AbortController();
  const report = mortal(2);
  const said: string[] = [];
  const say = (line: string) => {
    said.push(line);
    if (said.length === 2) setTimeout(() => stop.abort(), 20);
  };
  await supervise([report], { say, signal: stop.signal, everyMs: 1 });
  expect(report.restarts()).toBe(2);
  expect(said[0]).toContain('report has ended by itself');
});

test('what ends again and again is given up with a sentence', async () => {
  const report = mortal(Number.POSITIVE_INFINITY);
  const run = supervise([report], { say: () => undefined, signal: new AbortController().signal, everyMs: 1 });
  expect(run).rejects.toThrow('report has ended 6 times within a minute; its log is report.log.');
  await run.catch(() => undefined);
  expect(report.restarts()).toBe(5);
});
