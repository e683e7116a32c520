import { expect, test } from 'bun:test';
import { createSchedule } from '../../simulator/schedule.ts';

test('everything runs, in the order of its time, and none too early', async () => {
  const schedule = createSchedule();
  const ran: number[] = [];
  const from = performance.now();
  await new Promise<void>((done) => {
    const delays = Array.from({ length: 500 }, (_, n) => (n * 7_919) % 97);
    let left = delays.length;
    for (const delayMs of delays) {
      schedule.after(delayMs, () => {
        expect(performance.now() - from).toBeGreaterThanOrEqual(delayMs);
        ran.push(delayMs);
        if (--left === 0) done();
      });
    }
    expect(schedule.size).toBe(500);
  });
  expect(ran).toEqual([...ran].sort((a, b) => a - b));
  expect(schedule.size).toBe(0);
});

test('what is due together runs in the order it was asked for; what is added while running runs too', async () => {
  const schedule = createSchedule();
  const ran: string[] = [];
  await new Promise<void>((done) => {
    schedule.after(0, () => {
      ran.push('a');
      schedule.after(0, () => {
        ran.push('c');
        done();
      });
    });
    schedule.after(0, () => ran.push('b'));
  });
  expect(ran).toEqual(['a', 'b', 'c']);
});

test('a sooner one is not held up by a later one, and nothing runs after a close', async () => {
  const schedule = createSchedule();
  let late = false;
  schedule.after(50, () => {
    late = true;
  });
  await new Promise<void>((done) => schedule.after(1, done));
  expect(late).toBe(false);
  schedule.close();
  schedule.after(0, () => {
    late = true;
  });
  const other = createSchedule();
  await new Promise<void>((done) => other.after(80, done));
  other.close();
  expect(late).toBe(false);
});
