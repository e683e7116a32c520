import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { createWatermark, doneOffset, openOffset } from '../../shared/watermark.ts';

test('what may be committed is everything before the first record that is not done, in whatever order they end', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1_000_000 }),
      fc.uniqueArray(fc.integer({ min: 0, max: 5_000 }), { minLength: 1, maxLength: 200 }),
      fc.infiniteStream(fc.nat()),
      (base, gaps, picks) => {
        const offsets = gaps.sort((a, b) => a - b).map((gap) => base + gap);
        const mark = createWatermark();
        for (const offset of offsets) openOffset(mark, offset);
        const left = new Set(offsets);
        for (const pick of picks) {
          const waiting = [...left];
          const offset = waiting[pick % waiting.length] as number;
          left.delete(offset);
          doneOffset(mark, offset);
          const [first] = left;
          expect(mark.next).toBe(first === undefined ? (offsets.at(-1) as number) + 1 : mark.next);
          if (first !== undefined) {
            expect(mark.next).toBeLessThanOrEqual(first);
            // Nothing between the last done record in front and the first open one is held back.
            const before = offsets.filter((o) => o < first);
            expect(mark.next).toBe(before.length === 0 ? (offsets[0] as number) : (before.at(-1) as number) + 1);
          }
          if (left.size === 0) return;
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('a watermark forgets what is passed', () => {
  const mark = createWatermark();
  for (let offset = 0; offset < 10_000; offset += 1) openOffset(mark, offset);
  for (let offset = 0; offset < 10_000; offset += 1) doneOffset(mark, offset);
  expect(mark.next).toBe(10_000);
  expect(mark.done.size).toBe(0);
  expect(mark.open.length - mark.head).toBe(0);
  expect(mark.open.length).toBeLessThan(2_100);
});
