import { expect, test } from 'bun:test';
import { hottest } from '../../bench/profile.ts';

const frame = (functionName: string, url = '', lineNumber = 0) => ({ functionName, url, lineNumber });

test('a function has its own samples and those of what it called, once where it calls itself; idling does not count', () => {
  const hot = hottest({
    nodes: [
      { id: 1, callFrame: frame('(root)'), children: [2, 5] },
      { id: 2, callFrame: frame('outer', 'file:///outer.ts', 9), children: [3] },
      { id: 3, callFrame: frame('inner'), children: [4] },
      { id: 4, callFrame: frame('outer', 'file:///outer.ts', 9) },
      { id: 5, callFrame: frame('(idle)') },
    ],
    samples: [2, 3, 3, 4, 5, 5, 5, 5],
  });
  expect(hot.slice(0, 2)).toEqual([
    { where: 'outer /outer.ts:10', self: 0.5, total: 1 },
    { where: 'inner', self: 0.5, total: 0.75 },
  ]);
});
