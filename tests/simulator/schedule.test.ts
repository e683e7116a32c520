import { expect, test } from 'bun:test';
import { createSchedule } from '../../simulator/schedule.ts';

test('everything runs, in the order of its time, and none too early', async () => {
  const schedule = createSchedule();
  /** Each one's time lies between what the clock said before and after it was asked for. */
  const ran: { earliest: number; latest: number }[] = [];
  await new Promise<void>((done) => {
    for (let n = 0; n < 500; n++) {
      const delayMs = (n * 7_919) % 97;
      const due = { earliest: performance.now() + delayMs, latest: 0 };
      schedule.after(delayMs, () => {
        expect(performance.now()).toBeGreaterThanOrEqual(due.earliest);
        if (ran.push(due) === 500) done();
      });
      due.latest = performance.now() + delayMs;
    }
    expect(schedule.size).toBe(500);
  });
  for (const [n, due] of ran.slice(1).entries()) expect(ran[n]?.earliest).toBeLessThanOrEqual(due.latest);
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
