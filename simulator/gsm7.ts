/**
 * GSM 03.38's default alphabet, one septet a byte, as SMPP carries it. The simulator has a table of its own, so that an
 * error in the sender's table shows.
 */
const BASIC =
  '@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\u001bÆæßÉ !"#¤%&\'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà';
const ESCAPE = 0x1b;
const EXTENDED: Readonly<Record<number, string>> = {
  10: '\f',
  20: '^',
  40: '{',
  41: '}',
  47: '\\',
  60: '[',
  61: '~',
  62: ']',
  64: '|',
  101: '€',
};

/** Septets that mean the same character in ASCII: most texts are made of nothing else. */
const SAME = Uint8Array.from({ length: 256 }, (_, septet) => (BASIC.charCodeAt(septet) === septet ? 1 : 0));
SAME[ESCAPE] = 0;

/** The text of unpacked septets; U+FFFD for what is no septet. An escape at the end stays an escape. */
export function decodeGsm7(septets: Buffer): string {
  let plain = true;
  for (let i = 0; i < septets.length && plain; i++) plain = SAME[septets[i] as number] === 1;
  if (plain) return septets.toString('latin1');
  let text = '';
  for (let i = 0; i < septets.length; i++) {
    const septet = septets[i] as number;
    const extended = septet === ESCAPE ? EXTENDED[septets[i + 1] ?? -1] : undefined;
    if (extended !== undefined) {
      text += extended;
      i++;
    } else text += BASIC[septet] ?? '\ufffd';
  }
  return text;
}
