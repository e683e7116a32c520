/**
 * Chance that can be repeated: a draw is a function of the seed and of what it is drawn for, not of the order in which
 * concurrent submits happen to arrive.
 */

/**
 * What a seed is beyond its lower 32 bits, which are all that ^ takes: a hash that is the next one's seed keeps its 53 bits. With 32 of them two in some
 * ten thousand numbers that got one text were taken for one.
 */
const upper = (seed: number): number => Math.floor(seed / 4294967296);

/** cyrb53 (public domain): 53 well-mixed bits of a string. Never 0, which the tally uses for "empty". */
export function hashText(text: string, seed = 0): number {
  let a = 0xdeadbeef ^ seed;
  let b = 0x41c6ce57 ^ seed ^ upper(seed);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 2654435761);
    b = Math.imul(b ^ unit, 1597334677);
  }
  return finish(a, b);
}

/** The same over bytes. */
export function hashBytes(bytes: Uint8Array, seed = 0): number {
  let a = 0xdeadbeef ^ seed;
  let b = 0x41c6ce57 ^ seed ^ upper(seed);
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    a = Math.imul(a ^ byte, 2654435761);
    b = Math.imul(b ^ byte, 1597334677);
  }
  return finish(a, b);
}

function finish(a: number, b: number): number {
  const c = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  const d = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(c ^ (c >>> 13), 3266489909);
  return 4294967296 * (2097151 & d) + (c >>> 0) || 1;
}

/** A number in [0, 1) for the `nth` event named `name` under this seed. */
export function draw(seed: number, name: string, nth: number): number {
  return hashText(`${name}#${nth}`, seed) / 9007199254740992;
}
