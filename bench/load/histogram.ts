/**
 * Latencies in few bytes: exact below 128 µs, above that in buckets of 1/64 of their power of two, so that a percentile is at
 * most 1.6 % off. Nothing is sorted and nothing grows, whatever the number of requests.
 */

const EXACT = 128;
const STEPS = 64;
const BUCKETS = EXACT + 24 * STEPS;

export type Histogram = {
  /** @param micros a latency, microseconds; below zero counts as zero, above 35 minutes as that */
  record(micros: number): void;
  readonly count: number;
  readonly maxMicros: number;
  /** The latency that `share` (0 to 1) of the records do not exceed, milliseconds; 0 without records. */
  percentileMs(share: number): number;
  readonly meanMs: number;
};

function bucketOf(micros: number): number {
  if (micros < EXACT) return micros;
  const power = 31 - Math.clz32(micros);
  return EXACT + (power - 7) * STEPS + ((micros >>> (power - 6)) - STEPS);
}

/** The largest latency of a bucket: a percentile is never told too low. */
function topOf(bucket: number): number {
  if (bucket < EXACT) return bucket;
  const power = Math.floor((bucket - EXACT) / STEPS) + 7;
  const step = ((bucket - EXACT) % STEPS) + STEPS;
  return (step + 1) * 2 ** (power - 6) - 1;
}

export function createHistogram(): Histogram {
  const counts = new Uint32Array(BUCKETS);
  let count = 0;
  let sum = 0;
  let max = 0;
  return {
    record: (micros) => {
      const whole = Math.min(Math.max(0, Math.round(micros)), 0x7fff_ffff);
      counts[bucketOf(whole)] = (counts[bucketOf(whole)] as number) + 1;
      count += 1;
      sum += whole;
      if (whole > max) max = whole;
    },
    get count() {
      return count;
    },
    get maxMicros() {
      return max;
    },
    get meanMs() {
      return count === 0 ? 0 : sum / count / 1_000;
    },
    percentileMs: (share) => {
      const wanted = Math.max(1, Math.ceil(share * count));
      let seen = 0;
      for (let bucket = 0; bucket < BUCKETS; bucket++) {
        seen += counts[bucket] as number;
        if (count > 0 && seen >= wanted) return Math.min(topOf(bucket), max) / 1_000;
      }
      return 0;
    },
  };
}
