/**
 * The probe's process (memory-latency.ts holds it): five times a second it follows a chain of places all over 8 MB, each of which says where
 * the next one is, and tells how long a step took, nanoseconds of CPU, a line each. Nothing of it is in a core's own caches by then: each
 * step waits for the cache that all cores of the host share, or for the memory. The end of its input is its end.
 */

const EVERY_MS = 200;
/** Half a millisecond or less: seldom interrupted. */
const STEPS = 2_000;
const LINE_BYTES = 64;
const PLACES = (8 * 2 ** 20) / LINE_BYTES;
const STRIDE = LINE_BYTES / Int32Array.BYTES_PER_ELEMENT;

/** One round through all places in no order that a core could foresee. */
function chain(): Int32Array {
  const order = Array.from({ length: PLACES }, (_, i) => i);
  for (let i = PLACES - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  const places = new Int32Array(PLACES * STRIDE);
  for (let i = 0; i < PLACES; i++) places[(order[i] as number) * STRIDE] = (order[(i + 1) % PLACES] as number) * STRIDE;
  return places;
}

function follow(places: Int32Array, from: number): number {
  let at = from;
  for (let i = 0; i < STEPS; i++) at = places[at] as number;
  return at;
}

process.stdin.on('end', () => process.exit(0)).resume();

const places = chain();
let at = 0;
setInterval(() => {
  const before = process.cpuUsage();
  at = follow(places, at);
  const { user, system } = process.cpuUsage(before);
  process.stdout.write(`${((user + system) * 1_000) / STEPS}\n`);
}, EVERY_MS);
