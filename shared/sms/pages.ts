/**
 * Pages: the parts that a text is sent and billed in. Several parts each lose 6 octets to the header that joins them
 * (3GPP TS 23.040, 9.2.3.24.1), and no part may end inside a surrogate pair or between an escape and its character, so that a text
 * can need more parts than its length divided by a part's.
 */
import { type Encoding, septetsOf, unitsOf } from './encoding.ts';

/** More pages are refused unless a setting says otherwise. */
export const PAGES_MAX_DEFAULT = 10;

/** Septets or UTF-16 code units of a lone page, and of each of several. */
export const PAGE_UNITS: Readonly<Record<Encoding, { single: number; part: number }>> = {
  gsm7: { single: 160, part: 153 },
  ucs2: { single: 70, part: 67 },
};

/** How many pages are sent and billed; 0 for the empty text. The same as `splitText(text, encoding).length`, without the parts. */
export function pagesOf(text: string, encoding: Encoding): number {
  if (text === '') return 0;
  const { single, part } = PAGE_UNITS[encoding];
  if (text.length <= single && unitsOf(text, encoding) <= single) return 1;
  let pages = 0;
  for (let start = 0; start < text.length; pages++) start = partEnd(text, encoding, start, part);
  return pages;
}

/** The parts in order; joined they are the text. None for the empty text, which is refused at the door. */
export function splitText(text: string, encoding: Encoding): string[] {
  if (text === '') return [];
  const { single, part } = PAGE_UNITS[encoding];
  if (text.length <= single && unitsOf(text, encoding) <= single) return [text];
  const parts: string[] = [];
  for (let start = 0; start < text.length; ) {
    const end = partEnd(text, encoding, start, part);
    parts.push(text.slice(start, end));
    start = end;
  }
  return parts;
}

/** The index behind the longest part that starts here and fits. */
function partEnd(text: string, encoding: Encoding, start: number, part: number): number {
  if (encoding === 'ucs2') {
    const end = start + part;
    if (end >= text.length) return text.length;
    return isHighSurrogate(text.charCodeAt(end - 1)) && isLowSurrogate(text.charCodeAt(end)) ? end - 1 : end;
  }
  let end = start;
  for (let units = 0; end < text.length; end++) {
    units += septetsOf(text.charCodeAt(end));
    if (units > part) break;
  }
  return end;
}

const isHighSurrogate = (codeUnit: number): boolean => codeUnit >= 0xd800 && codeUnit <= 0xdbff;
const isLowSurrogate = (codeUnit: number): boolean => codeUnit >= 0xdc00 && codeUnit <= 0xdfff;
