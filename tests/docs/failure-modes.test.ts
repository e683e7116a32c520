/** docs/FAILURE_MODES.md knows every error code, every error word and flag of a message, and no metric that does not exist. */
import { describe, expect, test } from 'bun:test';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { AppError, ERROR_CODES, ERRORS, toProblem } from '../../shared/error.ts';
import { anchorsOf, quotedIn, ROOT, readDocument, tablesOf } from './markdown.ts';

const DOCUMENT = readDocument('docs/FAILURE_MODES.md');
const tables = tablesOf(DOCUMENT);
const tableWith = (column: string) => {
  const found = tables.find((rows) => rows[0]?.[column] !== undefined);
  if (!found) throw new Error(`no table with the column ${column}`);
  return found;
};
/** Everything between backticks in a cell. */
const wordsIn = (cell = ''): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word as string);

/** The sources below a folder, as one text. */
const sourceOf = (folder: string, extension: string): string =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(extension))
    .map((name) => readDocument(join(folder, name)))
    .join('\n');

describe('error codes', () => {
  const sections = new Map(
    DOCUMENT.split(/^### /m)
      .slice(1)
      .map((section) => [section.slice(0, section.indexOf('\n')), section]),
  );

  test('each has a section that its problem type names, with its status and what it does to the money', () => {
    const anchors = anchorsOf(DOCUMENT);
    for (const code of ERROR_CODES) {
      const { type } = toProblem(new AppError(code, ''), '');
      const section = sections.get(type.replace('/problems/', '')) ?? '';
      expect([
        code,
        anchors.has(code),
        section.includes(`**${ERRORS[code].status}.**`),
        section.includes('**Money:**'),
      ]).toEqual([code, true, true, true]);
    }
  });

  test('no section is about a code that does not exist', () => {
    const named = [...sections.keys()].filter((name) => /^[a-z]+_[a-z_]+$/.test(name));
    expect(named.filter((name) => !(ERROR_CODES as string[]).includes(name))).toEqual([]);
  });
});

describe('error words of a message', () => {
  const rows = tableWith('Word');
  const documented = rows.flatMap(({ Word }) => wordsIn(Word));
  const ofSubmits = sourceOf('dispatcher/connectors', '.ts');
  const ofScripts = sourceOf('billing/scripts', '.lua');
  /** Words of submits that were undone are named below the table. */
  const undone = wordsIn(/Words of submits that were undone[^.]*\./.exec(DOCUMENT)?.[0]);

  /** Literal words in the places where outcomes are made. */
  const real = new Set([
    ...[...ofSubmits.matchAll(/error: ((?:'[a-z_]+'(?: \| )?)+)(?= ?[,}])/g)].flatMap(([, union]) =>
      [...(union as string).matchAll(/'([a-z_]+)'/g)].map(([, word]) => word as string),
    ),
    ...[...ofSubmits.matchAll(/released\('([a-z_]+)'/g)].map(([, word]) => word as string),
    ...[...ofScripts.matchAll(/(?:decide_failed|become_unknown)\(id, r, now, '([a-z_]+)'/g)].map(
      ([, word]) => word as string,
    ),
  ]);
  // A request that was withheld is released as `expired`: a word between two files of the dispatcher.
  real.delete('withheld');

  test('each word of the code is documented', () => {
    expect(real.size).toBeGreaterThan(8);
    expect([...real].filter((word) => !documented.includes(word) && !undone.includes(word))).toEqual([]);
  });

  test('no word is invented', () => {
    const families = [/^http_[0-9x]+$/, /^smpp_0x/, /^dlr_/];
    const plain = documented.filter((word) => !families.some((family) => family.test(word)));
    expect(plain.length).toBeGreaterThan(8);
    expect(plain.filter((word) => !real.has(word))).toEqual([]);
    for (const family of ['`http_$', '`smpp_0x$', '`dlr_$']) expect(ofSubmits).toContain(family);
  });
});

test('each flag of a message is documented, and none is invented', () => {
  const [, union = ''] = /export type MessageFlag = ([^;]+);/.exec(readDocument('shared/events.ts')) ?? [];
  const real = [...union.matchAll(/'([a-z_]+)'/g)].map(([, flag]) => flag);
  expect(real.length).toBeGreaterThan(3);
  expect(tableWith('Flag').map(({ Flag = '' }) => quotedIn(Flag))).toEqual(expect.arrayContaining(real));
  expect(tableWith('Flag')).toHaveLength(real.length);
});

test('each metric that is named exists', () => {
  const names = tableWith('Metric').map(({ Metric = '' }) => quotedIn(Metric) as string);
  expect(names.length).toBeGreaterThan(8);
  for (const name of names) {
    const [, service = '', noun = ''] = /^jsms_([a-z]+)_(.+)$/.exec(name) ?? [];
    expect([name, sourceOf(service, '.ts').includes(`'${noun}'`)]).toEqual([name, true]);
  }
});
