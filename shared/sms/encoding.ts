/**
 * How a text travels: GSM 7-bit where every character is in the default alphabet or its extension table (3GPP TS 23.038,
 * 6.2.1 and 6.2.1.1), else UCS-2. National language tables are not used: operators in Iran do not support them.
 */

export type Encoding = 'gsm7' | 'ucs2';

/** The default alphabet in the order of its codes; 0x1B is the escape to the extension table and no character. */
const BASIC =
  '@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !"#¤%&\'()*+,-./0123456789:;<=>?' +
  '¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà';
const ESCAPE = 0x1b;
/** Code behind the escape, character. */
const EXTENSION: readonly (readonly [number, string])[] = [
  [0x0a, '\f'],
  [0x14, '^'],
  [0x28, '{'],
  [0x29, '}'],
  [0x2f, '\\'],
  [0x3c, '['],
  [0x3d, '~'],
  [0x3e, ']'],
  [0x40, '|'],
  [0x65, '€'],
];

/** No character of either table has a higher code unit than the euro sign. */
const TABLE_SIZE = 0x20ad;
/** Septets by UTF-16 code unit: 0 for what GSM-7 does not have, 1, or 2 for the extension table. */
const SEPTETS = new Uint8Array(TABLE_SIZE);
const CODES = new Uint8Array(TABLE_SIZE);
for (let code = 0; code < BASIC.length; code++) {
  if (code === ESCAPE) continue;
  SEPTETS[BASIC.charCodeAt(code)] = 1;
  CODES[BASIC.charCodeAt(code)] = code;
}
for (const [code, character] of EXTENSION) {
  SEPTETS[character.charCodeAt(0)] = 2;
  CODES[character.charCodeAt(0)] = code;
}

/** The septets that one UTF-16 code unit takes: 1 or 2; 0 when GSM-7 does not have it. */
export function septetsOf(codeUnit: number): number {
  return codeUnit < TABLE_SIZE ? (SEPTETS[codeUnit] as number) : 0;
}

/** Whether every surrogate has its other half. A text that is not well-formed cannot be sent and is refused at the door. */
export function isWellFormed(text: string): boolean {
  return text.isWellFormed();
}

/** One character outside GSM-7 makes the whole message UCS-2. */
export function encodingOf(text: string): Encoding {
  for (let i = 0; i < text.length; i++) if (septetsOf(text.charCodeAt(i)) === 0) return 'ucs2';
  return 'gsm7';
}

/**
 * The length that pages are counted in: septets for GSM-7, UTF-16 code units for UCS-2.
 * Throws a RangeError when a text is said to be GSM-7 and is not.
 */
export function unitsOf(text: string, encoding: Encoding): number {
  if (encoding === 'ucs2') return text.length;
  let units = 0;
  for (let i = 0; i < text.length; i++) {
    const septets = septetsOf(text.charCodeAt(i));
    if (septets === 0) throw notGsm7();
    units += septets;
  }
  return units;
}

/** More would not help whoever looks for the one character that makes the message dearer. */
const FORCING_MAX = 20;

/** The distinct characters (whole code points) that force UCS-2, in the order of the text, at most 20. */
export function forcesUcs2(text: string): string[] {
  const forcing = new Set<string>();
  for (const character of text) {
    if (septetsOf(character.codePointAt(0) as number) > 0) continue;
    forcing.add(character);
    if (forcing.size === FORCING_MAX) break;
  }
  return [...forcing];
}

/**
 * The text in the default alphabet, one septet per byte (unpacked, as SMPP carries it), the escape before each character of the
 * extension table. Throws a RangeError when the text has a character that GSM-7 does not have.
 */
export function gsm7Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(unitsOf(text, 'gsm7'));
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    const codeUnit = text.charCodeAt(i);
    if (SEPTETS[codeUnit] === 2) bytes[at++] = ESCAPE;
    bytes[at++] = CODES[codeUnit] as number;
  }
  return bytes;
}

const notGsm7 = (): RangeError => new RangeError('a text that GSM-7 cannot carry was taken for GSM-7');
