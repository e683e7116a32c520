/** The repository's own sources, read for the rules of the house. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { ROOT } from '../../local/places.ts';

/** A file by its path from the root, with forward slashes. */
export type SourceFile = { path: string; source: string };

export const SERVICES = ['billing', 'gateway', 'dispatcher', 'report'] as const;
export const ROOMS = [...SERVICES, 'shared', 'simulator', 'local', 'tests', 'bench'] as const;

export const readRepositoryFile = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Every TypeScript file of the rooms. */
export function readSources(): SourceFile[] {
  const files: SourceFile[] = [];
  for (const room of ROOMS) {
    for (const entry of readdirSync(join(ROOT, room), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
      const absolute = join(entry.parentPath, entry.name);
      const path = relative(ROOT, absolute).split(sep).join('/');
      if (!path.includes('node_modules/')) files.push({ path, source: readFileSync(absolute, 'utf8') });
    }
  }
  return files;
}

/** What may come before a slash that begins a regular expression and not a division. */
const BEFORE_REGEX =
  /[([{,;=:?!&|+\-*%~^<>]$|(?:^|[^\w$.])(?:return|typeof|case|in|of|delete|void|throw|new|else|do|await)$|^$/;

/**
 * A source without its comments and without what stands in its texts and regular expressions; the code inside `${…}` of a
 * template stays. Lines keep their numbers.
 */
export function codeOf(source: string): string {
  let code = '';
  let at = 0;
  /** For each template that is open: how many braces its `${` has inside. */
  const templates: number[] = [];
  const skipTo = (end: number): void => {
    code += source.slice(at, end).replace(/[^\n]/g, ' ');
    at = end;
  };
  const endOfText = (from: number, quote: string): number => {
    for (let i = from; i < source.length; i++) {
      if (source[i] === '\\') i++;
      else if (source[i] === quote || source[i] === '\n') return i;
    }
    return source.length;
  };
  /** From inside a template to its end, or to the code of its next `${`. */
  const skipTemplate = (): void => {
    let i = at;
    for (; i < source.length; i++) {
      if (source[i] === '\\') i++;
      else if (source[i] === '`') break;
      else if (source.startsWith('${', i)) {
        templates.push(0);
        skipTo(i + 2);
        return;
      }
    }
    skipTo(Math.min(i + 1, source.length));
  };
  const endOfRegex = (): number => {
    let inClass = false;
    for (let i = at + 1; i < source.length; i++) {
      const c = source[i];
      if (c === '\\') i++;
      else if (c === '\n') return at + 1;
      else if (c === '[') inClass = true;
      else if (c === ']') inClass = false;
      else if (c === '/' && !inClass) return i + 1;
    }
    return at + 1;
  };
  while (at < source.length) {
    const c = source[at] as string;
    if (source.startsWith('//', at)) skipTo(endOfText(at, '\n'));
    else if (source.startsWith('/*', at)) skipTo((source.indexOf('*/', at) + 1 || source.length - 1) + 1);
    else if (c === "'" || c === '"') {
      code += c;
      at += 1;
      skipTo(endOfText(at, c));
      code += c;
      at += 1;
    } else if (c === '`') {
      skipTo(at + 1);
      skipTemplate();
    } else if (c === '/' && BEFORE_REGEX.test(code.slice(-200).trimEnd())) skipTo(endOfRegex());
    else {
      const open = templates.length - 1;
      if (open >= 0 && c === '{') templates[open] = (templates[open] as number) + 1;
      if (open >= 0 && c === '}') {
        if (templates[open] === 0) {
          templates.pop();
          skipTo(at + 1);
          skipTemplate();
          continue;
        }
        templates[open] = (templates[open] as number) - 1;
      }
      code += c;
      at += 1;
    }
  }
  return code;
}

/** What a file imports: as written, and for the repository's own files the path from the root. */
export type Import = { name: string; path: string | null; typeOnly: boolean };

const IMPORT =
  /^\s*(?:import|export)\s+(type\s)?(?:[\w*\s{},$]+?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

export function importsOf({ path, source }: SourceFile): Import[] {
  return [...source.matchAll(IMPORT)].map(([, type, from, dynamic]) => {
    const name = (from ?? dynamic) as string;
    const own = name.startsWith('.') ? join(path, '..', name).split(sep).join('/') : null;
    return { name, path: own, typeOnly: type !== undefined };
  });
}
