import { expect, test } from 'bun:test';
import { idTimeMs, isId, newId } from '../../shared/id.ts';

test('an id is a UUIDv7 that says its own millisecond', () => {
  for (const at of [0, 1, 1_700_000_000_000, 2 ** 48 - 1]) {
    const id = newId(at);
    expect(isId(id)).toBe(true);
    expect(idTimeMs(id)).toBe(at);
  }
});

test('a hundred thousand ids of one millisecond are all different', () => {
  const ids = new Set<string>();
  for (let i = 0; i < 100_000; i += 1) ids.add(newId(1_700_000_000_000));
  expect(ids.size).toBe(100_000);
});

test('ids sort by their time', () => {
  const ids = [5, 4_000, 1_700_000_000_000, 1_700_000_000_001].map((at) => newId(at));
  expect([...ids].sort()).toEqual(ids);
});

test.each(['', 'x', '0193a5c8-7c11-4d3e-9f00-5a1b2c3d4e5f', '0193A5C8-7c11-7d3e-9f00-5a1b2c3d4e5f', `${newId()}0`])(
  '%p is no id',
  (value) => {
    expect(isId(value)).toBe(false);
  },
);
