/** docs/CONFIG.md says what the code reads: every setting, its default, its bounds and who reads it. */
import { describe, expect, test } from 'bun:test';
import { settings as billing } from '../../billing/config.ts';
import { settings as dispatcher } from '../../dispatcher/config.ts';
import { settings as gateway } from '../../gateway/config.ts';
import { LOCAL as up } from '../../local/settings.ts';
import { settings as report } from '../../report/config.ts';
import type { Setting, Settings } from '../../shared/config.ts';
import { SETTINGS as simulator } from '../../simulator/config.ts';
import { quotedIn, type Row, readDocument, tablesOf } from './markdown.ts';

const PROGRAMS: Readonly<Record<string, Settings>> = { billing, gateway, dispatcher, report, simulator, up };
const SERVICES = ['billing', 'gateway', 'dispatcher', 'report'];

const tables = tablesOf(readDocument('docs/CONFIG.md'));
const ROWS = tables.flat().filter((row) => row['Read by'] !== undefined);

const nameOf = (row: Row): string => quotedIn(row.Name as string) as string;
const readersOf = (row: Row): string[] =>
  (row['Read by'] as string).split(',').flatMap((word) => (word.trim() === 'services' ? SERVICES : [word.trim()]));
/** Every table that the row's readers have its setting in. */
const settingsOf = (row: Row): Setting<unknown>[] =>
  readersOf(row).flatMap((reader) => PROGRAMS[reader]?.[nameOf(row)] ?? []);

const takes = (setting: Setting<unknown>, raw: string): boolean => {
  try {
    setting.parse(raw);
    return true;
  } catch {
    return false;
  }
};

describe('docs/CONFIG.md', () => {
  test('names each setting once', () => {
    const names = ROWS.map(nameOf);
    expect(names.length).toBeGreaterThan(30);
    expect(names).toEqual([...new Set(names)]);
  });

  for (const [program, table] of Object.entries(PROGRAMS)) {
    test(`names every setting of ${program} with its default, and invents none`, () => {
      const documented = ROWS.filter((row) => readersOf(row).includes(program)).map((row) => [
        nameOf(row),
        quotedIn(row.Default as string) ?? '',
      ]);
      const real = Object.entries(table).map(([name, { fallback }]) => [name, fallback]);
      expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(real));
    });
  }

  const bounded = ROWS.filter((row) => /^[0-9]+–[0-9]+$/.test(row.Values as string));
  test('gives the bounds of every number, exactly', () => {
    for (const row of bounded) {
      const [min = 0, max = 0] = (row.Values as string).split('–').map(Number);
      for (const setting of settingsOf(row)) {
        const answers = [min, max, min - 1, max + 1].map((value) => takes(setting, String(value)));
        expect([nameOf(row), ...answers]).toEqual([nameOf(row), true, true, false, false]);
      }
    }
    const isNumber = (setting: Setting<unknown>): boolean =>
      /^[0-9]+$/.test(setting.fallback) && !takes(setting, 'a word');
    const numbers = Object.values(PROGRAMS).flatMap((table) =>
      Object.entries(table).flatMap(([name, setting]) => (isNumber(setting) ? [name] : [])),
    );
    expect(new Set(bounded.map(nameOf))).toEqual(new Set(numbers));
  });

  test('gives the choices of every setting that has some', () => {
    const choices = ROWS.filter((row) => /^`[^`]+`(, `[^`]+`)+$/.test(row.Values as string));
    expect(choices.length).toBeGreaterThan(0);
    for (const row of choices) {
      const words = (row.Values as string).split(', ').map((word) => quotedIn(word) as string);
      for (const setting of settingsOf(row)) {
        const answers = [...words, 'none-of-these'].map((word) => takes(setting, word));
        expect([nameOf(row), ...answers]).toEqual([nameOf(row), ...words.map(() => true), false]);
      }
    }
  });

  test('names every variable of docker-compose.yml with its default', () => {
    const used = [...readDocument('docker-compose.yml').matchAll(/\$\{([A-Z_]+)(?::-([^}]*))?\}/g)];
    const real = Object.fromEntries(used.map(([, name, fallback = '']) => [name, fallback]));
    const table = tables.find((rows) => rows.some((row) => nameOf(row) === 'JSMS_KAFKA_PORT')) ?? [];
    const documented = table.map((row) => [nameOf(row), quotedIn(row.Default as string) ?? '']);
    expect(Object.fromEntries(documented)).toEqual(real);
  });
});
