/**
 * A writer for protobufjs' encoders that puts each field down at once. protobufjs' own notes what is to be written, an object or two a
 * field, and does it at the end, when it knows how long each nested message is: of writing 128 holds and reading their answer that was a third.
 */
import protobuf from 'protobufjs';

const FIRST_BYTES = 64 * 1024;
/** What a rare message of megabytes needed is given back. */
const KEPT_BYTES_MAX = 1024 * 1024;
/** A text of so many characters, of three bytes each at most, has a length of one byte. */
const SHORT_TEXT = 42;
/** No varint is longer (Protocol Buffers, "Encoding"). */
export const VARINT_BYTES_MAX = 10;
const UINT32_MAX = 0xffff_ffff;

/** How many bytes a varint takes. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes += 1;
  return bytes;
}

/** Writes message after message, each from `begin` to `finish`, in a buffer that stays. Types that the contract does not have it refuses. */
export class DirectWriter extends protobuf.Writer {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #at = 0;
  /** Where the contents of the messages begin that are being written, the innermost last. */
  readonly #open: number[] = [];

  /** Forgets what a message left that could not be written to its end. */
  begin(): this {
    this.#at = 0;
    this.#open.length = 0;
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#bytes = Buffer.allocUnsafe(FIRST_BYTES);
    return this;
  }

  /** What the writers of all other types note by: it would be lost here. */
  _push(): never {
    throw new TypeError('a type that the direct writer does not write');
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + bytes));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest > UINT32_MAX; rest = Math.floor(rest / 0x80)) this.#bytes[this.#at++] = (rest % 0x80) | 0x80;
    for (; rest >= 0x80; rest >>>= 7) this.#bytes[this.#at++] = (rest & 0x7f) | 0x80;
    this.#bytes[this.#at++] = rest;
  }

  override uint32(value: number): this {
    this.#room(VARINT_BYTES_MAX);
    this.#varint(value >>> 0);
    return this;
  }

  /** Throws a RangeError for a number below zero, which none of our enumerations has. */
  override int32(value: number): this {
    if (value < 0) throw new RangeError('an enumeration below zero');
    return this.uint32(value);
  }

  /** Throws a RangeError for what the other end would not read: a number below zero or past the safe integers. */
  override int64(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError('an int64 outside the safe integers');
    this.#room(VARINT_BYTES_MAX);
    this.#varint(value);
    return this;
  }

  override bool(value: boolean): this {
    this.#room(1);
    this.#bytes[this.#at++] = value ? 1 : 0;
    return this;
  }

  override string(value: string): this {
    if (value.length > SHORT_TEXT) {
      const length = Buffer.byteLength(value);
      this.uint32(length).#room(length);
      this.#at += this.#bytes.write(value, this.#at);
      return this;
    }
    this.#room(1 + 3 * value.length);
    const length = value === '' ? 0 : this.#bytes.write(value, this.#at + 1);
    this.#bytes[this.#at] = length;
    this.#at += 1 + length;
    return this;
  }

  override bytes(value: Uint8Array): this {
    this.uint32(value.length).#room(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  /** A message within the message begins. One byte is kept free for its length, which most have enough of. */
  override fork(): this {
    this.#room(1);
    this.#open.push(++this.#at);
    return this;
  }

  override ldelim(): this {
    const from = this.#open.pop() as number;
    const length = this.#at - from;
    const more = varintBytes(length) - 1;
    if (more > 0) {
      this.#room(more);
      this.#bytes.copyWithin(from + more, from, this.#at);
    }
    this.#at = from - 1;
    this.#varint(length);
    this.#at += length;
    return this;
  }

  /** The message's bytes, which are the caller's. */
  override finish(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#at));
  }
}
