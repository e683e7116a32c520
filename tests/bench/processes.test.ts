import { expect, test } from 'bun:test';
import { parseStat, treeTicks, usageOf } from '../../bench/processes.ts';

const LINE =
  '77 (a (b) c) S 12 77 77 0 -1 4194304 100 200 0 0 31 11 5 3 20 0 4 0 1000 1 2 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0';

test("a process' line is read whatever stands in its name", () => {
  expect(parseStat(77, LINE)).toEqual({ pid: 77, parent: 12, own: 42, endedChildren: 8 });
});

test('a tree counts what runs and what has ended, and nothing of its neighbours', () => {
  const all = [
    { pid: 1, parent: 0, own: 1_000, endedChildren: 5_000 },
    { pid: 10, parent: 1, own: 5, endedChildren: 20 },
    { pid: 11, parent: 10, own: 7, endedChildren: 0 },
    { pid: 12, parent: 11, own: 1, endedChildren: 2 },
    { pid: 20, parent: 1, own: 300, endedChildren: 0 },
  ];
  expect(treeTicks(10, all)).toBe(35);
  expect(treeTicks(99, all)).toBe(0);
});

test('the CPU and the memory of a live process are told where there is a /proc, and nothing is made up elsewhere', () => {
  const until = performance.now() + 50;
  while (performance.now() < until);
  const ask = () => usageOf({ self: process.pid }, true).self;
  if (process.platform !== 'linux') return expect(ask).toThrow();
  expect(ask()?.cpuUs).toBeGreaterThan(30_000);
  expect(ask()?.memoryBytes).toBeGreaterThan(10_000_000);
});
