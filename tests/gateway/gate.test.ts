import { expect, test } from 'bun:test';
import { openGate } from '../../gateway/gate.ts';
import { AppError } from '../../shared/error.ts';

const TARGET_MS = 500;
const MAX = 20_000;

/**
 * A door in front of a single queue, by a clock of its own: so many messages come and so many are done in each millisecond.
 * Answers what was taken, refused and how long the last one that was done had waited.
 */
function flood(
  comesPerS: number,
  donePerS: number,
  seconds: number,
  gate = openGate(TARGET_MS, MAX, MAX, () => clock.ms),
) {
  const queue: number[] = [];
  const seen = { taken: 0, refused: 0, done: 0, waitedMs: 0, waitingMost: 0 };
  let credit = 0;
  let due = 0;
  for (const end = clock.ms + seconds * 1_000; clock.ms < end; clock.ms++) {
    for (due += comesPerS / 1_000; due >= 1; due--) {
      try {
        queue.push(gate.enter(1));
        seen.taken += 1;
      } catch (thrown) {
        expect((thrown as AppError).code).toBe('unavailable');
        seen.refused += 1;
      }
    }
    credit = Math.min(credit + donePerS / 1_000, queue.length);
    for (; credit >= 1; credit--) {
      const since = queue.shift() as number;
      seen.waitedMs = clock.ms - since;
      seen.done += 1;
      gate.leave(1, since, true);
    }
    seen.waitingMost = Math.max(seen.waitingMost, gate.waiting);
  }
  return { ...seen, gate, queue };
}
const clock = { ms: 0 };

test('what is done in time is never refused, however much it is', () => {
  const { refused, gate } = flood(8_000, 10_000, 10);
  expect([refused, gate.limit]).toEqual([0, MAX]);
});

test('a burst that is worked off within the target is taken whole', () => {
  const gate = openGate(TARGET_MS, MAX, MAX, () => clock.ms);
  const burst = flood(20_000, 10_000, 0.4, gate);
  expect(burst.refused).toBe(0);
});

test('of twice what can be done half is refused, nothing idles, and nobody waits much longer than the target', () => {
  const first = flood(5_000, 2_500, 5);
  const { taken, refused, done, waitedMs, waitingMost, gate } = first;
  expect(done).toBeGreaterThan(0.95 * 2_500 * 5);
  expect(taken + refused).toBe(25_000);
  expect(refused).toBeGreaterThan(9_000);
  expect(waitedMs).toBeLessThan(1.5 * TARGET_MS);
  expect(waitingMost).toBeLessThan(6_000);
  expect(gate.limit).toBeGreaterThan(900);
  expect(gate.limit).toBeLessThan(3_000);
});

test('after the flood the limit rises again as far as it is needed, and no further', () => {
  const { gate, queue } = flood(5_000, 2_500, 5);
  for (const since of queue) gate.leave(1, since, true);
  expect(flood(2_000, 10_000, 2, gate).refused).toBe(0);
  const much = flood(9_000, 10_000, 5, gate);
  expect(much.refused).toBeLessThan(3_000);
  expect(flood(9_000, 10_000, 5, gate).refused).toBe(0);
});

test('a limit that was brought down is never below what one call to billing takes', () => {
  const { gate, done } = flood(1_000, 20, 20);
  expect(gate.limit).toBe(256);
  expect(done).toBeGreaterThan(390);
});

test('a large batch passes where there is any room, and counts whole', () => {
  const gate = openGate(TARGET_MS, 1_000, MAX, () => clock.ms);
  const since = gate.enter(1_000);
  expect(gate.waiting).toBe(1_000);
  expect(() => gate.enter(1)).toThrow(AppError);
  gate.leave(1_000, since, true);
  expect(gate.waiting).toBe(0);
  gate.enter(1);
});

test('refusals that come at once do not hide that the others wait, and answers that never came show it', () => {
  const gate = openGate(TARGET_MS, MAX, MAX, () => clock.ms);
  const old = Array.from({ length: 2_000 }, () => gate.enter(1));
  clock.ms += 3_000;
  gate.leave(1, gate.enter(1), false);
  for (const since of old) gate.leave(1, since, false);
  clock.ms += 200;
  gate.leave(1, gate.enter(1), false);
  expect(gate.limit).toBeLessThan(1_000);
});
