import { expect, test } from 'bun:test';
import { createReferences, KEPT_MAX } from '../../../dispatcher/connectors/references.ts';

const TO = '+989121234567';

test('a reference leads to its message while that is open, and is forgotten when the outcome is known', () => {
  const references = createReferences();
  const reference = references.open('m1', TO);
  expect(reference).toBeWithin(1, 65_536);
  expect(references.find(reference, '989121234567')).toBe('m1');
  references.close(reference, false);
  expect([references.find(reference, '989121234567'), references.size]).toEqual([undefined, 0]);
});

test('an unknown message keeps its reference, however its number is written', () => {
  const references = createReferences();
  const reference = references.open('m1', TO);
  references.close(reference, true);
  for (const number of ['989121234567', '+989121234567', '09121234567', '9121234567', '00989121234567']) {
    expect(references.find(reference, number)).toBe('m1');
  }
});

test('a receipt of another number never finds a message: sixteen bits come round', () => {
  const references = createReferences();
  const reference = references.open('m1', TO);
  expect([references.find(reference, '989121234568'), references.find(reference, '')]).toEqual([undefined, undefined]);
});

test('no reference is given twice while its message is open or unknown', () => {
  const references = createReferences();
  const unknown = new Set<number>();
  for (let i = 0; i < 1_000; i += 1) {
    const reference = references.open(`unknown-${i}`, TO);
    references.close(reference, true);
    unknown.add(reference);
  }
  for (let i = 0; i < 200_000; i += 1) {
    const reference = references.open(`m${i}`, TO);
    if (unknown.has(reference)) throw new Error('it was in use');
    references.close(reference, false);
  }
  expect(references.size).toBe(1_000);
});

test('unknown messages are remembered up to a bound, the youngest of them', () => {
  const references = createReferences();
  const first = references.open('first', TO);
  references.close(first, true);
  let last = 0;
  for (let i = 0; i < KEPT_MAX; i += 1) {
    last = references.open(`m${i}`, TO);
    references.close(last, true);
  }
  expect([references.size, references.find(first, TO), references.find(last, TO)]).toEqual([
    KEPT_MAX,
    undefined,
    `m${KEPT_MAX - 1}`,
  ]);
});
