/** What a data_coding means, and the text of a message in it (SMPP 3.4, 5.2.19, and GSM 03.38 for the groups above). */
import { decodeGsm7 } from './gsm7.ts';

export type Coding = 'gsm7' | 'latin1' | 'ucs2' | 'binary';

export function codingOf(dataCoding: number): Coding {
  if (dataCoding === 0) return 'gsm7';
  if (dataCoding === 8) return 'ucs2';
  if (dataCoding === 1 || dataCoding === 3) return 'latin1';
  const group = dataCoding >> 4;
  if (group === 0xf) return (dataCoding & 4) === 0 ? 'gsm7' : 'binary';
  if (group >= 1 && group < 4) return (dataCoding & 12) === 8 ? 'ucs2' : (dataCoding & 12) === 0 ? 'gsm7' : 'binary';
  return 'binary';
}

/** Binary messages read as hexadecimal digits; half a UTF-16 unit at the end as U+FFFD. */
export function decodeText(message: Buffer, coding: Coding): string {
  switch (coding) {
    case 'gsm7':
      return decodeGsm7(message);
    case 'latin1':
      return message.toString('latin1');
    case 'ucs2': {
      const even = message.length & ~1;
      const swapped = Buffer.from(message.subarray(0, even)).swap16().toString('utf16le');
      return even === message.length ? swapped : `${swapped}\ufffd`;
    }
    case 'binary':
      return message.toString('hex');
  }
}
