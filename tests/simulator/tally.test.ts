import { expect, test } from 'bun:test';
import { hashBytes, hashText } from '../../simulator/rng.ts';
import { createTally } from '../../simulator/tally.ts';

test('every message’s counts are exact, through growth', () => {
  const tally = createTally();
  for (let round = 1; round <= 3; round++) {
    for (let n = 0; n < 50_000; n++) {
      if (n % round !== 0) continue;
      const slot = tally.slot(hashText(`m${n}`));
      tally.countReceived(slot);
      if (n % 2 === 0) tally.countAccepted(slot, n + round);
    }
  }
  expect(tally.size).toBe(50_000);
  for (let n = 0; n < 50_000; n++) {
    const slot = tally.slot(hashText(`m${n}`));
    const times = 1 + (n % 2 === 0 ? 1 : 0) + (n % 3 === 0 ? 1 : 0);
    expect(tally.received(slot)).toBe(times);
    expect(tally.accepted(slot)).toBe(n % 2 === 0 ? times : 0);
    expect(tally.operatorId(slot)).toBe(n % 2 === 0 ? n + 1 : 0);
  }
});

test('memory is bounded: the last ones are remembered, the oldest forgotten', () => {
  const tally = createTally(1_000);
  for (let n = 0; n < 10_000; n++) tally.countAccepted(tally.slot(hashText(`m${n}`)), n + 1);
  expect(tally.size).toBeLessThanOrEqual(2_000);
  for (let n = 9_001; n < 10_000; n++) expect(tally.accepted(tally.slot(hashText(`m${n}`)))).toBe(1);
  expect(tally.accepted(tally.slot(hashText('m0')))).toBe(0);
});

test('what is asked for again in time is not forgotten', () => {
  const tally = createTally(100);
  tally.countAccepted(tally.slot(hashText('kept')), 7);
  for (let n = 0; n < 1_000; n++) {
    tally.slot(hashText(`m${n}`));
    if (n % 50 === 0) tally.slot(hashText('kept'));
  }
  expect(tally.operatorId(tally.slot(hashText('kept')))).toBe(7);
});

test('a clear forgets all', () => {
  const tally = createTally();
  tally.countAccepted(tally.slot(1), 1);
  tally.clear();
  expect(tally.size).toBe(0);
  expect(tally.accepted(tally.slot(1))).toBe(0);
});

test('hashes differ by text and by seed, and are never zero', () => {
  const seen = new Set<number>();
  for (let n = 0; n < 20_000; n++) {
    seen.add(hashText(`text ${n}`));
    seen.add(hashText(`text ${n}`, 5));
    seen.add(hashBytes(Buffer.from(`bytes ${n}`), 5));
  }
  expect(seen.size).toBe(60_000);
  expect(seen.has(0)).toBe(false);
  expect(hashText('same', 3)).toBe(hashText('same', 3));
});

test('two hundred thousand numbers that get one text are as many messages', () => {
  const text = Buffer.from('hello');
  const addresses = Array.from({ length: 200_000 }, (_, n) => `98912${String(n).padStart(7, '0')}`);
  expect(new Set(addresses.map((address) => hashBytes(text, hashText(address, 8)))).size).toBe(addresses.length);
});
