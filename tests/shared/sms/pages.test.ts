import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type Encoding, encodingOf, septetsOf, unitsOf } from '../../../shared/sms/encoding.ts';
import { PAGE_UNITS, PAGES_MAX_DEFAULT, pagesOf, splitText } from '../../../shared/sms/pages.ts';

const lengths = (text: string): number[] =>
  splitText(text, encodingOf(text)).map((part) => unitsOf(part, encodingOf(text)));

describe('how many pages', () => {
  for (const [what, text, expected] of [
    ['nothing', '', []],
    ['one letter', 'a', [1]],
    ['160 septets', 'a'.repeat(160), [160]],
    ['161 septets', 'a'.repeat(161), [153, 8]],
    ['306 septets', 'a'.repeat(306), [153, 153]],
    ['307 septets', 'a'.repeat(307), [153, 153, 1]],
    ['80 escapes', '€'.repeat(80), [160]],
    ['159 septets and an escape', `${'a'.repeat(159)}€`, [153, 8]],
    ['an escape on the boundary', `${'a'.repeat(152)}€${'a'.repeat(152)}`, [152, 153, 1]],
    ['an escape before the boundary', `${'a'.repeat(151)}€${'a'.repeat(153)}`, [153, 153]],
    ['escapes alone: 152 to a part', '€'.repeat(153), [152, 152, 2]],
    ['70 Persian letters', 'س'.repeat(70), [70]],
    ['71 Persian letters', 'س'.repeat(71), [67, 4]],
    ['134 Persian letters', 'س'.repeat(134), [67, 67]],
    ['135 Persian letters', 'س'.repeat(135), [67, 67, 1]],
    ['35 emojis', '😀'.repeat(35), [70]],
    ['36 emojis: 66 units to a part', '😀'.repeat(36), [66, 6]],
    ['69 letters and an emoji', `${'س'.repeat(69)}😀`, [67, 4]],
    ['an emoji on the boundary', `${'س'.repeat(66)}😀${'س'.repeat(66)}`, [66, 67, 1]],
    ['an emoji before the boundary', `${'س'.repeat(65)}😀${'س'.repeat(67)}`, [67, 67]],
    ['ZWNJ counts one', `${'می‌روم '.repeat(10)}`, [70]],
    ['a Persian letter at the end of 160', `${'a'.repeat(159)}ی`, [67, 67, 26]],
  ] as const) {
    test(`${what}: ${expected.length}`, () => {
      expect(lengths(text)).toEqual([...expected]);
      expect(pagesOf(text, encodingOf(text))).toBe(expected.length);
    });
  }

  test('670 Persian letters are the most of ten pages, and emojis on boundaries make it eleven', () => {
    expect(PAGES_MAX_DEFAULT).toBe(10);
    expect(pagesOf('س'.repeat(670), 'ucs2')).toBe(10);
    expect(pagesOf('س'.repeat(671), 'ucs2')).toBe(11);
    expect(pagesOf('😀'.repeat(335), 'ucs2')).toBe(11);
  });

  test('a text of ten thousand pages is counted and not feared', () => {
    expect(pagesOf('س'.repeat(670_000), 'ucs2')).toBe(10_000);
    expect(pagesOf('a'.repeat(1_530_000), 'gsm7')).toBe(10_000);
  });
});

const gsm7Text = fc.string({ unit: fc.constantFrom('a', 'Z', '@', ' ', '\n', '€', '[', '~', '\f'), maxLength: 700 });
const ucs2Text = fc
  .string({ unit: fc.constantFrom('س', 'a', '😀', '\u200c', '👨‍👩‍👧', '۱', '𝒜'), maxLength: 400 })
  .map((text) => `${text}ی`);
const anyText = fc.oneof(gsm7Text, ucs2Text, fc.string({ unit: 'grapheme', maxLength: 300 }));

const isHigh = (codeUnit: number): boolean => codeUnit >= 0xd800 && codeUnit <= 0xdbff;
const isLow = (codeUnit: number): boolean => codeUnit >= 0xdc00 && codeUnit <= 0xdfff;

/** The fewest parts that are possible at all: at each step the longest one that fits, a character at a time. */
function naivePages(text: string, encoding: Encoding): number {
  const cost = (character: string): number =>
    encoding === 'gsm7' ? septetsOf(character.charCodeAt(0)) : character.length;
  const total = [...text].reduce((sum, character) => sum + cost(character), 0);
  if (total === 0) return 0;
  if (total <= PAGE_UNITS[encoding].single) return 1;
  let pages = 1;
  let used = 0;
  for (const character of text) {
    if (used + cost(character) > PAGE_UNITS[encoding].part) {
      pages++;
      used = 0;
    }
    used += cost(character);
  }
  return pages;
}

describe('for every text', () => {
  test('the parts joined are the text', () => {
    fc.assert(fc.property(anyText, (text) => expect(splitText(text, encodingOf(text)).join('')).toBe(text)));
  });

  test('each part fits, and none is empty', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const units = lengths(text);
        const { single, part } = PAGE_UNITS[encodingOf(text)];
        for (const length of units) {
          expect(length).toBeGreaterThan(0);
          expect(length).toBeLessThanOrEqual(units.length === 1 ? single : part);
        }
      }),
    );
  });

  test('no pair is split: each part is a text of its own', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const parts = splitText(text, encodingOf(text));
        for (const [at, part] of parts.entries()) {
          expect(part.isWellFormed()).toBe(true);
          const next = parts[at + 1];
          if (next) expect(isHigh(part.charCodeAt(part.length - 1)) && isLow(next.charCodeAt(0))).toBe(false);
        }
      }),
    );
  });

  test('the count is that of the parts, and the fewest that are possible', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const encoding = encodingOf(text);
        const pages = pagesOf(text, encoding);
        expect(pages).toBe(splitText(text, encoding).length);
        expect(pages).toBe(naivePages(text, encoding));
      }),
      { numRuns: 500 },
    );
  });

  test('one more character never makes fewer pages', () => {
    fc.assert(
      fc.property(ucs2Text, (text) => {
        expect(pagesOf(`${text}a`, 'ucs2')).toBeGreaterThanOrEqual(pagesOf(text, 'ucs2'));
      }),
    );
  });
});
