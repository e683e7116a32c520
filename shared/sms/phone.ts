/** Iranian mobile numbers: as people write them, to E.164. */

/** What is longer is not a phone number; it is not even looked at. */
const INPUT_MAX_LENGTH = 64;

/** The forms of a number in plain digits. The length tells them apart: `98…` of ten digits is a national number. */
const FORMS = /^(?:\+98|0098|98|0)?9[0-9]{9}$/;
const E164 = /^\+989[0-9]{9}$/;
/** Spaces (also the no-break ones that are pasted along), dashes and brackets. */
const SEPARATOR = /^[ \u00a0\u202f\-\u2010-\u2015\u2212()[\]]$/;

/** The value of an ASCII, Persian or Arabic digit; -1 for every other character. */
function digitOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  if (code >= 0x06f0 && code <= 0x06f9) return code - 0x06f0;
  if (code >= 0x0660 && code <= 0x0669) return code - 0x0660;
  return -1;
}

const inE164 = (plain: string): string => `+98${plain.slice(-10)}`;

/**
 * A mobile number in E.164, `+989xxxxxxxxx`. Reads `09…`, `9…`, `98…`, `+98…` and `0098…` with ASCII, Persian or Arabic digits;
 * spaces, dashes and brackets between them are passed over (the numbering of Iran, E.164 country code 98).
 * @returns null for everything else, also for input longer than 64 characters
 */
export function parsePhone(input: string): string | null {
  // As programs write it.
  if (FORMS.test(input)) return inE164(input);
  if (input.length > INPUT_MAX_LENGTH) return null;
  let digits = '';
  let plus = false;
  for (let i = 0; i < input.length; i++) {
    const digit = digitOf(input.charCodeAt(i));
    if (digit >= 0) digits += digit;
    else if (input[i] === '+' && !plus && digits === '') plus = true;
    else if (!SEPARATOR.test(input[i] as string)) return null;
  }
  const plain = plus ? `+${digits}` : digits;
  return FORMS.test(plain) ? inE164(plain) : null;
}

/** A number as logs may show it: `+98912*****67`. What is not a number of ours is hidden whole. */
export function maskPhone(e164: string): string {
  return E164.test(e164) ? `${e164.slice(0, 6)}*****${e164.slice(-2)}` : '***';
}
