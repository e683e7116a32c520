import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { combineParts, type PartOutcome } from '../../../dispatcher/connectors/smpp-outcome.ts';

const A = (operatorId: string): PartOutcome => ({ kind: 'accepted', operatorId });
const R: PartOutcome = { kind: 'rejected', error: 'smpp_0x0000000b', wrongNetwork: false };
const W: PartOutcome = { kind: 'rejected', error: 'smpp_0x00000400', wrongNetwork: true };
const H: PartOutcome = { kind: 'throttled', error: 'smpp_0x00000058' };
const T: PartOutcome = { kind: 'transient', error: 'smpp_0x00000008', linkFault: false };
const U: PartOutcome = { kind: 'unknown', error: 'no_answer', linkFault: true };
const N: PartOutcome = { kind: 'unwritten', error: 'connection_lost', linkFault: true };

const accepted = (operatorIds: string[], acceptedParts: number, parts: number, partError?: string) => ({
  kind: 'accepted',
  operatorIds,
  acceptedParts,
  parts,
  linkFault: false,
  ...(partError ? { partError } : {}),
});

const CASES: [string, PartOutcome[], object][] = [
  ['one part accepted', [A('1')], accepted(['1'], 1, 1)],
  ['accepted without an id', [A('')], accepted([], 1, 1)],
  ['all accepted, in order', [A('1'), A('2'), A('3')], accepted(['1', '2', '3'], 3, 3)],
  ['accepted and rejected', [A('1'), R], accepted(['1'], 1, 2, R.error)],
  ['accepted and throttled', [H, A('2')], accepted(['2'], 1, 2, H.error)],
  ['accepted and transient', [A('1'), T], accepted(['1'], 1, 2, T.error)],
  ['accepted and unknown', [A('1'), U, R], accepted(['1'], 1, 3, U.error)],
  ['accepted and not written', [A('1'), N, N], accepted(['1'], 1, 3, N.error)],
  [
    'unknown before everything but an acceptance',
    [R, H, T, N, U],
    { kind: 'unknown', error: 'no_answer', operatorIds: [], linkFault: true },
  ],
  [
    'transient before throttled, rejected and not written',
    [N, R, H, T],
    { kind: 'transient', error: T.error, linkFault: false },
  ],
  ['throttled before rejected and not written', [R, N, H], { kind: 'throttled', error: H.error, linkFault: false }],
  ['rejected before not written', [N, R], { kind: 'rejected', error: R.error, wrongNetwork: false, linkFault: false }],
  ['the first of equals says why', [W, R], { kind: 'rejected', error: W.error, wrongNetwork: true, linkFault: false }],
  ['not written', [N, N], { kind: 'released', error: N.error, linkFault: true }],
];

test.each(CASES)('%s', (_, parts, outcome) => {
  expect(combineParts(parts) as object).toEqual(outcome);
});

test('any mixture: accepted parts are counted exactly, and only a message of which nothing was written is released', () => {
  const part = fc.constantFrom(A('x'), R, W, H, T, U, N);
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 12 }), (parts) => {
      const outcome = combineParts(parts);
      const acceptedParts = parts.filter(({ kind }) => kind === 'accepted').length;
      if (outcome.kind === 'accepted') {
        expect([outcome.acceptedParts, outcome.operatorIds.length]).toEqual([acceptedParts, acceptedParts]);
      } else expect(acceptedParts).toBe(0);
      expect(outcome.kind === 'released').toBe(parts.every(({ kind }) => kind === 'unwritten'));
      expect(outcome.kind === 'unknown').toBe(acceptedParts === 0 && parts.some(({ kind }) => kind === 'unknown'));
    }),
  );
});
