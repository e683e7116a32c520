import { describe, expect, test } from 'bun:test';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { encodingOf, forcesUcs2, gsm7Bytes, isWellFormed, septetsOf, unitsOf } from '../../../shared/sms/encoding.ts';

/** An implementation that is not ours; the package has no types. */
const { gsmCoder } = createRequire(import.meta.url)('smpp/lib/defs.js') as {
  gsmCoder: { GSM: { charRegex: RegExp }; encode(text: string, encoding: number): Uint8Array };
};

const EXTENSION = '^{}\\[~]|€\f';

describe('which encoding', () => {
  for (const [text, encoding, units] of [
    ['', 'gsm7', 0],
    ['code: 1234', 'gsm7', 10],
    ['@£$¥èéùìòÇ\nØø\rÅå', 'gsm7', 16],
    ['ΔΦΓΛΩΠΨΣΘΞ', 'gsm7', 10],
    ['ÆæßÉ¤¡ÄÖÑÜ§¿äöñüà', 'gsm7', 17],
    [EXTENSION, 'gsm7', 20],
    ['a€b', 'gsm7', 4],
    ['کد تایید: 1234', 'ucs2', 14],
    ['one Persian letter: ی', 'ucs2', 21],
    ['ç', 'ucs2', 1],
    ['`', 'ucs2', 1],
    ['\t', 'ucs2', 1],
    ['\u00a0', 'ucs2', 1],
    ['\u001b', 'ucs2', 1],
    ['\u0000', 'ucs2', 1],
    ['ΑΒ', 'ucs2', 2],
    ['’', 'ucs2', 1],
    ['می‌روم', 'ucs2', 6],
    ['😀', 'ucs2', 2],
    ['۱۲۳', 'ucs2', 3],
  ] as const) {
    test(`${JSON.stringify(text)} is ${encoding} and ${units} units`, () => {
      expect(encodingOf(text)).toBe(encoding);
      expect(unitsOf(text, encoding)).toBe(units);
    });
  }

  test('every one of the 65,536 code units is in GSM-7 exactly where an independent table has it', () => {
    const mine: number[] = [];
    const theirs: number[] = [];
    for (let codeUnit = 0; codeUnit < 0x10000; codeUnit++) {
      if (septetsOf(codeUnit) > 0) mine.push(codeUnit);
      // Their pattern has the escape itself, which is no character.
      if (codeUnit !== 0x1b && gsmCoder.GSM.charRegex.test(String.fromCharCode(codeUnit))) theirs.push(codeUnit);
    }
    expect(mine).toEqual(theirs);
    expect(mine).toHaveLength(127 + 10);
  });
});

const gsm7Character = fc.constantFrom(
  ...Array.from({ length: 0x20ad }, (_, codeUnit) => codeUnit)
    .filter((codeUnit) => septetsOf(codeUnit) > 0)
    .map((codeUnit) => String.fromCharCode(codeUnit)),
);
const gsm7Text = fc.string({ unit: gsm7Character, maxLength: 400 });

describe('bytes of the default alphabet', () => {
  test('the extension table stands behind the escape', () => {
    expect([...gsm7Bytes('@ A€\f')]).toEqual([0x00, 0x20, 0x41, 0x1b, 0x65, 0x1b, 0x0a]);
  });

  test('they are what an independent encoder makes of any text', () => {
    fc.assert(
      fc.property(gsm7Text, (text) => {
        const bytes = gsm7Bytes(text);
        expect([...bytes]).toEqual([...gsmCoder.encode(text, 0)]);
        expect(bytes.length).toBe(unitsOf(text, 'gsm7'));
        expect(bytes.every((byte) => byte < 0x80)).toBe(true);
      }),
    );
  });

  test('a text that GSM-7 cannot carry is an error and no wrong bytes', () => {
    expect(() => gsm7Bytes('سلام')).toThrow(RangeError);
    expect(() => unitsOf('a😀', 'gsm7')).toThrow(RangeError);
    expect(() => gsm7Bytes('\u001b')).toThrow(RangeError);
  });
});

describe('what forces UCS-2', () => {
  test('distinct characters in the order of the text', () => {
    expect(forcesUcs2('Hi, سلام! 😀 س')).toEqual(['س', 'ل', 'ا', 'م', '😀']);
  });

  test('nothing in a GSM-7 text', () => expect(forcesUcs2(`plain ${EXTENSION}`)).toEqual([]));

  test('at most 20 of them, also in a text of a million characters', () => {
    const text = Array.from({ length: 60 }, (_, at) => String.fromCharCode(0x4e00 + at)).join('');
    expect(forcesUcs2(text)).toEqual([...text.slice(0, 20)]);
    expect(forcesUcs2('ی'.repeat(1_000_000))).toEqual(['ی']);
  });

  test('there is one exactly when the text is UCS-2', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), gsm7Text), (text) => {
        expect(forcesUcs2(text).length > 0).toBe(encodingOf(text) === 'ucs2');
      }),
    );
  });
});

test('half of a surrogate pair is no text', () => {
  for (const text of ['\ud83d', 'a\ude00', '\ude00\ud83d', 'سلام \ud83d!']) expect(isWellFormed(text)).toBe(false);
  for (const text of ['', 'a', 'سلام 😀', '\ufffd']) expect(isWellFormed(text)).toBe(true);
});
