/** Rows in the binary format of COPY (PostgreSQL's manual, "COPY", File Formats): what PostgreSQL need not parse it takes for less. */

import { digits, isId } from '../shared/id.ts';

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const CHUNK_BYTES = 128 * 1024;
/** A timestamp's zero, 2000-01-01, epoch milliseconds. */
const POSTGRES_EPOCH_MS = 946_684_800_000;
const TEXT_OID = 25;
const JSONB_VERSION = 1;
const SHORT = 40;

export type BinaryRows = {
  /** Begins a row of so many fields, which follow in their order. */
  row(fields: number): void;
  /** A field without a value. */
  none(): void;
  text(value: string): void;
  /** @throws RangeError when it is no id (isId) */
  uuid(value: string): void;
  /** These throw RangeError when the number does not fit. */
  int16(value: number): void;
  int32(value: number): void;
  int64(value: number): void;
  /** @param ms epoch milliseconds */
  instant(ms: number): void;
  texts(values: readonly string[]): void;
  /** @param json its text */
  jsonb(json: string): void;
  /** Ends the rows and gives their bytes. */
  end(): Buffer[];
};

export function createBinaryRows(): BinaryRows {
  const chunks: Buffer[] = [];
  let buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  let at = 0;

  /** Room for so many bytes in one piece. */
  const room = (bytes: number): void => {
    if (at + bytes <= buffer.length) return;
    chunks.push(buffer.subarray(0, at));
    buffer = Buffer.allocUnsafe(Math.max(CHUNK_BYTES, bytes));
    view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
    at = 0;
  };
  const length = (bytes: number): void => {
    view.setInt32(at, bytes);
    at += 4;
  };
  const whole = (value: number, most: number): void => {
    if (!Number.isSafeInteger(value) || value > most || value < -most - 1)
      throw new RangeError('a number does not fit');
  };
  /** Most texts are short and of ASCII: a byte each is put in place before the runtime's own writing is called. */
  const ascii = (value: string): boolean => {
    if (value.length > SHORT) return false;
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      buffer[at + 4 + i] = code;
    }
    return true;
  };
  const text = (value: string): void => {
    // A UTF-16 unit takes at most three bytes.
    room(4 + value.length * 3);
    const bytes = ascii(value) ? value.length : buffer.write(value, at + 4);
    length(bytes);
    at += bytes;
  };
  const int64 = (value: number): void => {
    whole(value, Number.MAX_SAFE_INTEGER);
    room(12);
    length(8);
    view.setInt32(at, Math.floor(value / 2 ** 32));
    view.setUint32(at + 4, value >>> 0);
    at += 8;
  };

  at += SIGNATURE.copy(buffer);
  // No flags, no header extension.
  length(0);
  length(0);
  return {
    row: (fields) => {
      room(2);
      view.setInt16(at, fields);
      at += 2;
    },
    none: () => {
      room(4);
      length(-1);
    },
    text,
    uuid: (value) => {
      if (!isId(value)) throw new RangeError('not an id');
      room(20);
      length(16);
      view.setUint32(at, digits(value, 0, 8));
      view.setUint16(at + 4, digits(value, 9, 13));
      view.setUint16(at + 6, digits(value, 14, 18));
      view.setUint16(at + 8, digits(value, 19, 23));
      view.setUint16(at + 10, digits(value, 24, 28));
      view.setUint32(at + 12, digits(value, 28, 36));
      at += 16;
    },
    int16: (value) => {
      whole(value, 0x7fff);
      room(6);
      length(2);
      view.setInt16(at, value);
      at += 2;
    },
    int32: (value) => {
      whole(value, 0x7fff_ffff);
      room(8);
      length(4);
      view.setInt32(at, value);
      at += 4;
    },
    int64,
    instant: (ms) => int64((ms - POSTGRES_EPOCH_MS) * 1_000),
    texts: (values) => {
      room(24);
      length(20 + values.reduce((bytes, value) => bytes + 4 + Buffer.byteLength(value), 0));
      // One dimension from 1 on, no nulls in it.
      for (const word of [1, 0, TEXT_OID, values.length, 1]) length(word);
      for (const value of values) text(value);
    },
    jsonb: (json) => {
      const bytes = Buffer.byteLength(json);
      room(5 + bytes);
      length(1 + bytes);
      view.setUint8(at, JSONB_VERSION);
      buffer.write(json, at + 1);
      at += 1 + bytes;
    },
    end: () => {
      room(2);
      view.setInt16(at, -1);
      return [...chunks, buffer.subarray(0, at + 2)];
    },
  };
}
