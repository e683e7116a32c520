/** What one document says of another, of a file or of a heading is there. */
import { expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { anchorsOf, documents, linksOf, ROOT, readDocument } from './markdown.ts';

type Lookup = { isThere: (path: string) => boolean; textOf: (path: string) => string };

const repository: Lookup = { isThere: (path) => existsSync(join(ROOT, path)), textOf: readDocument };

/** Links of a document that lead nowhere. */
function brokenLinks(from: string, text: string, { isThere, textOf }: Lookup): string[] {
  return linksOf(text).filter((target) => {
    if (/^[a-z]+:/.test(target)) return !/^https:\/\/[a-z0-9.-]+\.[a-z]+(\/|$)/.test(target);
    const [path = '', anchor] = target.split('#');
    const file = path === '' ? from : normalize(join(dirname(from), path));
    if (file.startsWith('..') || (file !== from && !isThere(file))) return true;
    return anchor !== undefined && !anchorsOf(path === '' ? text : textOf(file)).has(anchor);
  });
}

test('a link to a missing file, a missing heading or out of the repository is found', () => {
  const files: Record<string, string> = { 'docs/A.md': '# A title: `x` & y\n\n## Two\n\n## Two\n', LICENSE: '' };
  const lookup: Lookup = { isThere: (path) => Object.hasOwn(files, path), textOf: (path) => files[path] as string };
  const text = `# Here
[a](A.md) [b](A.md#a-title-x--y) [c](A.md#two-1) [d](#here) [e](../LICENSE) [f](https://example.org/x)
[1](B.md) [2](A.md#three) [3](#there) [4](../../secret) [5](http://example.org) \`[no](link)\`
\`\`\`
[no](link)
\`\`\`
`;
  expect(brokenLinks('docs/C.md', text, lookup)).toEqual([
    'B.md',
    'A.md#three',
    '#there',
    '../../secret',
    'http://example.org',
  ]);
});

for (const path of documents()) {
  test(`every link of ${path} leads somewhere`, () => {
    expect(brokenLinks(path, readDocument(path), repository)).toEqual([]);
  });
}

test('every document below docs/ is reachable from README.md', () => {
  const reached = new Set<string>();
  const follow = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const target of linksOf(readDocument(path))) {
      const [relative = ''] = target.split('#');
      const file = normalize(join(dirname(path), relative));
      if (/^[a-z]+:/.test(target) || relative === '') continue;
      if (file.endsWith('.md') && existsSync(join(ROOT, file))) follow(file);
      else if (existsSync(join(ROOT, file, 'README.md'))) follow(join(file, 'README.md'));
    }
  };
  follow('README.md');
  expect(documents().filter((path) => path.startsWith('docs/') && !reached.has(path))).toEqual([]);
});
