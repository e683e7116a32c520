import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { createGiveWay, type GiveWay, SHARE_MIN } from '../../dispatcher/give-way.ts';

const EXPRESS_EVERY_MS = 10;

/** Express claims at even distances for so long, each as slow as it is at the share of its moment. Answers the last second's mean share. */
function flow(giveWay: GiveWay, from: number, forMs: number, slowness: (share: number, at: number) => number): number {
  const lately: number[] = [];
  for (let at = from; at < from + forMs; at += EXPRESS_EVERY_MS) {
    const share = giveWay.share(at);
    if (at >= from + forMs - 1_000) lately.push(share);
    giveWay.claimed(at, slowness(share, at));
  }
  return lately.reduce((sum, share) => sum + share, 0) / lately.length;
}

test('without express the others have all of their room, a second after the start', () => {
  const giveWay = createGiveWay();
  expect(giveWay.share(10_000)).toBeLessThan(0.5);
  for (let at = 10_000; at < 11_000; at += 50) giveWay.share(at);
  expect(giveWay.share(11_000)).toBe(1);
});

test('quick claims take nothing from the others', () => {
  expect(flow(createGiveWay(), 1_000, 10_000, () => 8)).toBe(1);
});

test('where a campaign makes claims slow, it has the room at which they are quick enough', () => {
  const giveWay = createGiveWay();
  // 8 ms alone and 68 beside the whole campaign: 15.5 at its least, 23 at a quarter.
  expect(flow(giveWay, 1_000, 40_000, (share) => 8 + 60 * share)).toBeWithin(SHARE_MIN, 0.35);
  // 8 ms alone, 18 beside it.
  expect(flow(giveWay, 50_000, 10_000, (share) => 8 + 10 * share)).toBeWithin(0.5, 1);
  expect(flow(giveWay, 70_000, 10_000, () => 8)).toBe(1);
});

test('what is slow whatever the others do, such as a disk, takes nothing from them', () => {
  expect(flow(createGiveWay(), 1_000, 10_000, () => 90)).toBe(1);
});

test('a disk that turns slow takes from them until its best is found anew', () => {
  const giveWay = createGiveWay();
  expect(flow(giveWay, 1_000, 10_000, (share) => 8 + 10 * share)).toBeWithin(0.5, 1);
  expect(flow(giveWay, 11_000, 3_000, () => 90)).toBeLessThan(0.5);
  expect(flow(giveWay, 14_000, 20_000, () => 90)).toBe(1);
});

test('whatever comes, the share is between its bounds', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(2_000), fc.option(fc.double({ min: 0, max: 5_000, noNaN: true })))),
      (steps) => {
        const giveWay = createGiveWay();
        let at = 0;
        for (const [after, ms] of steps) {
          at += after;
          if (ms !== null) giveWay.claimed(at, ms);
          expect(giveWay.share(at)).toBeWithin(SHARE_MIN, 1 + 1e-9);
        }
      },
    ),
  );
});
