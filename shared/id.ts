/** UUIDv7 (RFC 9562): the first 48 bits are the time in epoch milliseconds, so ids sort by time and say their own day. */
import { randomFillSync } from 'node:crypto';

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));
const POOL_BYTES = 4096;
const pool = new Uint8Array(POOL_BYTES);
let used = POOL_BYTES;

/** A fresh message, batch or transaction id. Random bits come from the system's generator, fetched a pool at a time. */
export function newId(nowMs: number = Date.now()): string {
  if (used + 10 > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const r = (i: number): number => pool[used + i] as number;
  const hex = (b: number): string => HEX[b] as string;
  const time = nowMs.toString(16).padStart(12, '0');
  const id =
    `${time.slice(0, 8)}-${time.slice(8)}-${hex(0x70 | (r(0) & 0x0f))}${hex(r(1))}-${hex(0x80 | (r(2) & 0x3f))}${hex(r(3))}-` +
    hex(r(4)) +
    hex(r(5)) +
    hex(r(6)) +
    hex(r(7)) +
    hex(r(8)) +
    hex(r(9));
  used += 10;
  return id;
}

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export const isId = (value: string): boolean => UUID_V7.test(value);

/** Of an id: the digits from place `from` to before `to`, at most eight, as a number. By their codes: a text to be parsed costs twice as much. */
export function digits(id: string, from: number, to: number): number {
  let number = 0;
  for (let i = from; i < to; i++) {
    const code = id.charCodeAt(i);
    number = number * 16 + (code < 58 ? code - 48 : code - 87);
  }
  return number;
}

/** The instant in an id, epoch milliseconds. The id must be one (isId). */
export const idTimeMs = (id: string): number => digits(id, 0, 8) * 0x1_0000 + digits(id, 9, 13);
