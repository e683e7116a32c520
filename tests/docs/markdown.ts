/** Reading our documents: tables, headings, code and links. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

export const ROOT = join(import.meta.dirname, '..', '..');

export const readDocument = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Markdown files of the repository, as paths from its root. */
export function documents(): string[] {
  const found: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.name === 'node_modules' || entry.name.startsWith('.')) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.name.endsWith('.md')) found.push(relative(ROOT, path));
    }
  };
  walk(ROOT);
  return found.sort();
}

/** The text without fenced code. */
export const proseOf = (text: string): string => text.replaceAll(/^```[^\n]*\n[\s\S]*?^```/gm, '');

/** The contents of fenced code, without the fences. */
export const codeOf = (text: string): string[] =>
  [...text.matchAll(/^```[^\n]*\n([\s\S]*?)^```/gm)].map(([, code]) => code as string);

/** Anchors as GitHub makes them of headings. */
export function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, heading] of proseOf(text).matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const plain = (heading as string).replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1');
    const slug = plain
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-');
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    anchors.add(times === 0 ? slug : `${slug}-${times}`);
  }
  return anchors;
}

/** The targets of links and pictures outside code. */
export const linksOf = (text: string): string[] =>
  [
    ...proseOf(text)
      .replaceAll(/`[^`\n]*`/g, '')
      .matchAll(/\]\(([^)\s]+)\)/g),
  ].map(([, target]) => target as string);

export type Row = Readonly<Record<string, string>>;

const cellsOf = (line: string): string[] =>
  line
    .trim()
    .replace(/^\||\|$/g, '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('\\|', '|'));

/** Every table of a text as rows by column name. */
export function tablesOf(text: string): Row[][] {
  const tables: Row[][] = [];
  let columns: string[] | null = null;
  for (const line of proseOf(text).split('\n')) {
    if (!line.startsWith('|')) columns = null;
    else if (columns === null) {
      columns = cellsOf(line);
      tables.push([]);
    } else if (!/^\|[-: |]+\|$/.test(line)) {
      const cells = cellsOf(line);
      tables.at(-1)?.push(Object.fromEntries(columns.map((column, i) => [column, cells[i] ?? ''])));
    }
  }
  return tables;
}

/** What stands in a cell between its first backticks; null where there are none. */
export const quotedIn = (cell: string): string | null => /`([^`]*)`/.exec(cell)?.[1] ?? null;
