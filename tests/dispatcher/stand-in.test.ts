/** Who stands in, among operators that are played by hand. */
import { describe, expect, test } from 'bun:test';
import type { Line } from '../../dispatcher/line.ts';
import { createStandIns } from '../../dispatcher/stand-in.ts';
import type { Work } from '../../dispatcher/work.ts';
import type { Lane } from '../../shared/topics.ts';

type Played = { name: string; fit: boolean; fallback?: string[] };

function standInsOf(...operators: Played[]) {
  const went: string[] = [];
  const lines = new Map(
    operators.map(({ name, fit, fallback = [] }) => {
      const pump = {
        name,
        connector: { ready: fit, windowSize: 10 },
        busy: 0,
        push: (_: Lane, work: Work) => void went.push(`${name} ${work.reroutedFrom ?? work.divertedFrom ?? ''}`),
        queued: () => 0,
        wake: () => undefined,
      };
      const breaker = { state: () => (fit ? 'closed' : 'open'), allowance: () => (fit ? Number.POSITIVE_INFINITY : 0) };
      return [name, { settings: { name, fallback }, pump, breaker } as unknown as Line];
    }),
  );
  const standIns = createStandIns({
    lines,
    queueMax: 100,
    onMoved: () => undefined,
    push: () => void went.push('home'),
  });
  return { standIns, went };
}
const work: Work = { event: { id: 'm' } as Work['event'], attempt: 1, claim: 0, done: () => undefined };

describe('a number that is another operator', () => {
  test.each([
    [
      'the next in the file',
      [
        { name: 'A', fit: true },
        { name: 'B', fit: true },
        { name: 'C', fit: true },
      ],
      ['B A'],
    ],
    [
      'a fallback before it',
      [
        { name: 'A', fit: true, fallback: ['C'] },
        { name: 'B', fit: true },
        { name: 'C', fit: true },
      ],
      ['C A'],
    ],
    [
      'one that is fit before one that is not',
      [
        { name: 'A', fit: true },
        { name: 'B', fit: false },
        { name: 'C', fit: true },
      ],
      ['C A'],
    ],
    [
      'where none is fit the next all the same: it waits there',
      [
        { name: 'A', fit: true },
        { name: 'B', fit: false },
        { name: 'C', fit: false },
      ],
      ['B A'],
    ],
  ] as [string, Played[], string[]][])('goes to %s', (_, operators, expected) => {
    const { standIns, went } = standInsOf(...operators);
    standIns.reroute('A', 'normal', work)?.();
    expect(went).toEqual(expected);
  });

  test('goes nowhere where there is no other, after it went on once, and when it is pinned', () => {
    expect(standInsOf({ name: 'A', fit: true }).standIns.reroute('A', 'normal', work)).toBeNull();
    const { standIns } = standInsOf({ name: 'A', fit: true }, { name: 'B', fit: true });
    expect(standIns.reroute('A', 'normal', { ...work, reroutedFrom: 'B' })).toBeNull();
    expect(standIns.reroute('A', 'normal', { ...work, pinned: 'A' })).toBeNull();
  });
});

describe("an operator's fallback", () => {
  test('carries its messages while it is fit; where none is the message stays', () => {
    const { standIns, went } = standInsOf(
      { name: 'A', fit: false, fallback: ['B', 'C'] },
      { name: 'B', fit: false },
      { name: 'C', fit: true },
    );
    expect(standIns.divert('A', 'normal', work)).toBe('taken');
    expect(went).toEqual(['C A']);
    const alone = standInsOf({ name: 'A', fit: false, fallback: ['B'] }, { name: 'B', fit: false });
    expect(alone.standIns.divert('A', 'normal', work)).toBe('nobody');
  });
});
