/** A map of the last `max` keys. The order lives in a ring, since deleting from the front of a large Map is slow. */
export type RingMap<V> = {
  get(key: string): V | undefined;
  /** Puts a new key in, the oldest one out; an existing key keeps its place. */
  set(key: string, value: V): void;
  /** The newest first. */
  newest(): Generator<V>;
  readonly size: number;
  clear(): void;
};

export function createRingMap<V>(max: number): RingMap<V> {
  const byKey = new Map<string, V>();
  let ring: string[] = [];
  let next = 0;
  return {
    get: (key) => byKey.get(key),
    set: (key, value) => {
      if (max === 0) return;
      if (!byKey.has(key)) {
        const oldest = ring[next];
        if (oldest !== undefined) byKey.delete(oldest);
        ring[next] = key;
        next = (next + 1) % max;
      }
      byKey.set(key, value);
    },
    newest: function* () {
      for (let back = 1; back <= ring.length; back++) {
        yield byKey.get(ring[(next - back + ring.length) % ring.length] as string) as V;
      }
    },
    get size() {
      return byKey.size;
    },
    clear: () => {
      byKey.clear();
      ring = [];
      next = 0;
    },
  };
}
