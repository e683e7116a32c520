import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { byModule, hottest } from '../../bench/profile.ts';
import { ROOT } from '../../local/places.ts';

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

test('what has no file belongs to the nearest caller that has one, by package or by our own file', () => {
  const modules = byModule({
    nodes: [
      { id: 1, callFrame: frame('(root)'), children: [2, 4] },
      { id: 2, callFrame: frame('send', '/x/node_modules/@grpc/grpc-js/build/a.js'), children: [3] },
      { id: 3, callFrame: frame('write') },
      { id: 4, callFrame: frame('decode', join(ROOT, 'shared/events.ts')), children: [5] },
      { id: 5, callFrame: frame('parse') },
    ],
    samples: [1, 2, 3, 3, 5],
  });
  expect(modules).toEqual([
    { module: '@grpc/grpc-js', part: 0.6 },
    { module: 'the runtime', part: 0.2 },
    { module: 'shared/events.ts', part: 0.2 },
  ]);
});
