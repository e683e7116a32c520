/**
 * How often each message arrived and was accepted, in 20 bytes a message: what removes duplicates and proves their
 * absence in a run of millions. Open addressing over two generations: when the younger one is full it becomes the older
 * one, so that at least the last `generationMax` messages are remembered and memory stays bounded.
 */
export type Tally = {
  /** The slot of this message (a hash of what identifies it), made when it is new. Good until the next call. */
  slot(hash: number): number;
  received(slot: number): number;
  accepted(slot: number): number;
  /** The operator's id of the first acceptance; 0 before it. */
  operatorId(slot: number): number;
  countReceived(slot: number, by?: number): number;
  countAccepted(slot: number, operatorId: number, by?: number): number;
  readonly size: number;
  clear(): void;
};

type Generation = {
  mask: number;
  used: number;
  hashes: Float64Array;
  ids: Float64Array;
  received: Uint16Array;
  accepted: Uint16Array;
};

const COUNT_MAX = 65_535;
const FIRST_SLOTS = 1 << 14;

const generation = (slots: number): Generation => ({
  mask: slots - 1,
  used: 0,
  hashes: new Float64Array(slots),
  ids: new Float64Array(slots),
  received: new Uint16Array(slots),
  accepted: new Uint16Array(slots),
});

/** The slot that holds `hash`, or the empty one where it belongs. */
function probe(g: Generation, hash: number): number {
  let slot = (hash % 4294967296) & g.mask;
  for (;;) {
    const found = g.hashes[slot];
    if (found === hash || found === 0) return slot;
    slot = (slot + 1) & g.mask;
  }
}

function move(from: Generation, at: number, into: Generation): number {
  const hash = from.hashes[at] as number;
  const slot = probe(into, hash);
  into.hashes[slot] = hash;
  into.ids[slot] = from.ids[at] as number;
  into.received[slot] = from.received[at] as number;
  into.accepted[slot] = from.accepted[at] as number;
  into.used++;
  return slot;
}

/** @param generationMax messages remembered at least, before the oldest are forgotten */
export function createTally(generationMax = 1_000_000): Tally {
  let young = generation(FIRST_SLOTS);
  let old: Generation | null = null;

  const makeRoom = (): void => {
    if (young.used >= generationMax) {
      old = young;
      young = generation(FIRST_SLOTS);
    } else if (young.used * 10 >= (young.mask + 1) * 6) {
      const larger = generation((young.mask + 1) * 2);
      for (let i = 0; i <= young.mask; i++) if (young.hashes[i] !== 0) move(young, i, larger);
      young = larger;
    }
  };

  const bump = (counts: Uint16Array, slot: number, by: number): number => {
    const next = Math.min(COUNT_MAX, (counts[slot] as number) + by);
    counts[slot] = next;
    return next;
  };

  return {
    slot: (hash) => {
      const slot = probe(young, hash);
      if (young.hashes[slot] === hash) return slot;
      if (young.used >= generationMax || young.used * 10 >= (young.mask + 1) * 6) makeRoom();
      if (old) {
        const before = probe(old, hash);
        if (old.hashes[before] === hash) return move(old, before, young);
      }
      const fresh = probe(young, hash);
      young.hashes[fresh] = hash;
      young.used++;
      return fresh;
    },
    received: (slot) => young.received[slot] as number,
    accepted: (slot) => young.accepted[slot] as number,
    operatorId: (slot) => young.ids[slot] as number,
    countReceived: (slot, by = 1) => bump(young.received, slot, by),
    countAccepted: (slot, operatorId, by = 1) => {
      if (young.ids[slot] === 0) young.ids[slot] = operatorId;
      return bump(young.accepted, slot, by);
    },
    get size() {
      return young.used + (old?.used ?? 0);
    },
    clear: () => {
      young = generation(FIRST_SLOTS);
      old = null;
    },
  };
}
