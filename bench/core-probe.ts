/**
 * The probe's process (core-speed.ts holds it): five times a second a short piece of arithmetic, and how much CPU it took, microseconds, a
 * line each. Its four chains of additions need not wait for each other, so it fills a core's units, and feels who else uses them: on a
 * core whose other hardware thread is busy, with anybody's work, it takes up to twice as long. The end of its input is its end.
 */

const EVERY_MS = 200;
/** About a third of a millisecond of a fast core: seldom interrupted, and less than a percent of one core in all. */
const STEPS = 400_000;

function burst(): number {
  let [a, b, c, d] = [1, 2, 3, 4];
  for (let i = 0; i < STEPS; i++) {
    a = (a + (i ^ b)) | 0;
    b = (b + (c >>> 3)) | 0;
    c = (c ^ (d + i)) | 0;
    d = (d + a) | 0;
  }
  return a + b + c + d;
}

// A Ctrl-C reaches the whole terminal; the bench decides when this process ends, by closing its input.
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.stdin.on('end', () => process.exit(0)).resume();

let result = 0;
setInterval(() => {
  const before = process.cpuUsage();
  result += burst();
  const { user, system } = process.cpuUsage(before);
  // With the result in the line nobody may leave the arithmetic out.
  process.stdout.write(`${user + system} ${result}\n`);
}, EVERY_MS);
