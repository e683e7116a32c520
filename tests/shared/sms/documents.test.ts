/** The references of operator.json, prices.json and senders.json say what the code does. */
import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseImportLine } from '../../../dispatcher/import-ported.ts';
import { parseOperators } from '../../../shared/sms/operators.ts';
import { parsePrices, priceOf } from '../../../shared/sms/price.ts';
import { parseSenders, senderFor } from '../../../shared/sms/sender.ts';
import { fileOf, HTTP, type Json, operator, SMPP, smppOperator } from './sample.ts';

/** The document, with the padding taken out of its tables' cells. */
const document = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../../../docs', name), 'utf8')
    .split('\n')
    .map((line) => (line.startsWith('|') ? line.replaceAll(/ +/g, ' ') : line))
    .join('\n');
const OPERATORS = document('OPERATORS.md');
const PRICES = document('PRICES.md');

const samplesOf = (text: string): { mark: string; json: Json }[] =>
  [...text.matchAll(/(?:<!-- (.+?) -->\n+)?```json\n([\s\S]+?)```/g)].map(([, mark = '', json]) => ({
    mark,
    json: JSON.parse(json as string),
  }));

/** Every variable that a sample could name is set. */
const ENV = new Proxy({}, { get: () => 'secret' }) as Readonly<Record<string, string>>;

describe('OPERATORS.md', () => {
  test('every example is a good file', () => {
    const samples = samplesOf(OPERATORS);
    expect(samples.length).toBeGreaterThanOrEqual(7);
    for (const { json } of samples) {
      const result = parseOperators(json, ENV);
      expect(result.ok ? [] : result.problems).toEqual([]);
    }
  });

  test('there is a worked example for each operator of this repository', () => {
    for (const name of ['MCI', 'MTN', 'Rightel']) {
      expect(samplesOf(OPERATORS).some(({ json }) => Object.hasOwn(json.operators as Json, name))).toBe(true);
    }
  });

  test('each line of the CSV example is read by the import of ported numbers', () => {
    const [, csv = ''] = /```csv\n([\s\S]+?)\n```/.exec(OPERATORS) ?? [];
    const [head, ...lines] = csv.split('\n');
    expect(head).toBe('number,operator,days');
    const read = lines.map((line) => parseImportLine(line, new Set(['MTN', 'Rightel']), 0));
    expect(read).toEqual([
      {
        ok: true,
        phone: '+989121234567',
        entry: { operator: 'MTN', until: null, source: 'imported', at: 0 },
      },
      {
        ok: true,
        phone: '+989351234567',
        entry: { operator: 'Rightel', until: 365 * 86_400_000, source: 'imported', at: 0 },
      },
    ]);
  });

  const withDefaults = (section: string): Json =>
    samplesOf(OPERATORS).find(({ mark }) => mark === `defaults: ${section}`)?.json as Json;

  for (const [section, required] of [
    ['http', { url: 'http://127.0.0.1:2780/example' }],
    ['smpp', { host: '127.0.0.1', system_id: 'example', password: 'example' }],
  ] as const) {
    test(`the ${section} operator with everything written out is the one with nothing written`, () => {
      const bare = fileOf({ Example: { prefixes: ['912'], connector: section, [section]: required } });
      expect(parseOperators(withDefaults(section), {})).toEqual(parseOperators(bare, {}));
    });
  }

  const rowsOf = (heading: string): { name: string; fallback: string }[] => {
    const section = OPERATORS.split(/^#{2,3} /m).find((text) => text.startsWith(`${heading}\n`));
    if (!section) throw new Error(`no section ${heading}`);
    return [...section.matchAll(/^\| `([a-z_]+)` \|.*\| ([^|]+) \|$/gm)].map(([, name, fallback]) => ({
      name: name as string,
      fallback: fallback as string,
    }));
  };
  const example = (section: string): Json => (withDefaults(section).operators as { Example: Json }).Example;

  for (const [heading, written] of [
    ['An operator', example('http')],
    ['`breaker`', example('http').breaker as Json],
    ['`http`', example('http').http as Json],
    ['`smpp`', example('smpp').smpp as Json],
  ] as const) {
    test(`each default in the table of ${heading} is the one of the code`, () => {
      const rows = rowsOf(heading);
      expect(rows.length).toBeGreaterThan(2);
      for (const { name, fallback } of rows) {
        if (fallback === 'required') continue;
        expect({ [name]: JSON.parse(fallback.replace(/^`|`$/g, '')) }).toEqual({ [name]: written[name] });
      }
    });
  }

  test('no setting that the code asks for is missing from the tables, and none is there that it does not know', () => {
    const tables: [string, (section: Json) => Json][] = [
      ['An operator', (asked) => fileOf({ A: asked })],
      ['`breaker`', (asked) => fileOf({ A: operator({ breaker: asked }) })],
      ['`http`', (asked) => fileOf({ A: operator({ http: asked }) })],
      ['`smpp`', (asked) => fileOf({ A: smppOperator({ smpp: asked }) })],
    ];
    const samples: Json[] = [operator(), {}, HTTP, SMPP];
    for (const [at, [heading, within]] of tables.entries()) {
      const asked = new Set<string>();
      const spy = new Proxy(samples[at] as Json, {
        getOwnPropertyDescriptor(target, name) {
          // Whoever asks by name is the code; the keys that are there are listed by it as well.
          asked.add(String(name));
          return Reflect.getOwnPropertyDescriptor(target, name);
        },
      });
      parseOperators(within(spy), {});
      expect(
        rowsOf(heading)
          .map(({ name }) => name)
          .sort(),
      ).toEqual([...asked].sort());
    }
  });
});

describe('PRICES.md', () => {
  const [priceFile, senderFile] = samplesOf(PRICES).map(({ json }) => json);

  test('the price of each message in its table is what the code charges', () => {
    const parsed = parsePrices(priceFile, ['MCI', 'MTN', 'Rightel']);
    if (!parsed.ok) throw new Error(parsed.problems.join('\n'));
    const rows = [
      ...PRICES.matchAll(/^\| (normal|express), (Persian|Latin), (\w+) \|.*\| ([0-9,]+) \| ([0-9,]+) \|$/gm),
    ];
    expect(rows).toHaveLength(5);
    for (const [, type, script, name, one, two] of rows) {
      const message = {
        type: type as 'normal' | 'express',
        encoding: script === 'Latin' ? ('gsm7' as const) : ('ucs2' as const),
        operator: name as string,
      };
      const rials = (text?: string): number => Number(text?.replaceAll(',', ''));
      expect(priceOf(parsed.prices, { ...message, pages: 1 })).toBe(rials(one));
      expect(priceOf(parsed.prices, { ...message, pages: 2 })).toBe(rials(two));
    }
  });

  test('the line in each row of its table is the one that the code sends from', () => {
    const parsed = parseSenders(senderFile);
    if (!parsed.ok) throw new Error(parsed.problems.join('\n'));
    const rows = [...PRICES.matchAll(/^\| (`\w+`|any other) \| (none|`.+?`) \| (refused|`.+?`) \|$/gm)];
    expect(rows).toHaveLength(7);
    for (const [, account = '', asked = '', sent = ''] of rows) {
      const bare = (cell: string): string => cell.replaceAll('`', '');
      const answer = senderFor(parsed.senders, bare(account), asked === 'none' ? undefined : bare(asked));
      expect(answer).toEqual(sent === 'refused' ? { ok: false } : { ok: true, sender: bare(sent) });
    }
  });
});
