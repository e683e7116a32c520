/** One message's parts, at a bind that is played by hand. */
import { describe, expect, test } from 'bun:test';
import type { SubmitOutcome } from '../../../dispatcher/connector.ts';
import type { PartOutcome } from '../../../dispatcher/connectors/smpp-outcome.ts';
import type { SubmitFields } from '../../../dispatcher/connectors/smpp-pdu.ts';
import { createSending, PART_RETRY_MS, type SubmitPart } from '../../../dispatcher/connectors/smpp-sending.ts';
import { submitMaxMs, writeWithinMs } from '../../../dispatcher/timing.ts';
import { parseOperators } from '../../../shared/sms/operators.ts';
import { smppSettings } from './smpp-settings.ts';

const ACCEPTED: PartOutcome = { kind: 'accepted', operatorId: 'x' };
const THROTTLED: PartOutcome = { kind: 'throttled', error: 'smpp_0x00000058' };
const TRANSIENT: PartOutcome = { kind: 'transient', error: 'smpp_0x00000014', linkFault: false };
const UNKNOWN: PartOutcome = { kind: 'unknown', error: 'no_answer', linkFault: true };

function sendingOf(parts: number, writeByMs = 60_000, bound = true) {
  const again: { parts: SubmitPart[]; pauseMs: number }[] = [];
  const ended: SubmitOutcome[] = [];
  const fields = Array.from({ length: parts }, () => ({}) as SubmitFields);
  const carrier = {
    bound,
    later: (list: SubmitPart[], pauseMs: number) => void again.push({ parts: list, pauseMs }),
  };
  const sending = createSending(
    fields,
    carrier,
    () => true,
    performance.now() + writeByMs,
    (outcome) => void ended.push(outcome),
  );
  const answer = (...outcomes: PartOutcome[]): void => {
    outcomes.forEach((outcome, i) => {
      const part = sending.parts[i] as SubmitPart;
      if (outcome.kind !== 'unwritten') part.writtenAt = 1;
      sending.settle(part, outcome);
    });
  };
  return { sending, again, ended, answer };
}

const UNWRITTEN: PartOutcome = { kind: 'unwritten', error: 'late', linkFault: false };

describe('the parts that failed of a message of which some were accepted', () => {
  test('of which one is not written again keep what the operator said', () => {
    const { sending, again, ended, answer } = sendingOf(2);
    answer(ACCEPTED, THROTTLED);
    expect(again).toHaveLength(1);
    sending.settle(sending.parts[1] as SubmitPart, UNWRITTEN);
    expect(ended).toMatchObject([]);
    expect(again).toHaveLength(2);
    for (let i = 0; i < 2; i += 1) sending.settle(sending.parts[1] as SubmitPart, UNWRITTEN);
    expect(ended).toMatchObject([{ kind: 'accepted', acceptedParts: 1, partError: 'smpp_0x00000058' }]);
  });

  test('are written again, and counted as such', () => {
    const { sending, again, ended, answer } = sendingOf(3);
    answer(ACCEPTED, THROTTLED, TRANSIENT);
    expect(again).toEqual([{ parts: sending.parts.slice(1) as SubmitPart[], pauseMs: PART_RETRY_MS[0] as number }]);
    for (const part of sending.parts.slice(1)) sending.settle(part, ACCEPTED);
    expect(ended).toMatchObject([{ kind: 'accepted', acceptedParts: 3, throttled: true, rewritten: 2 }]);
  });

  test.each([
    ['the time of the claim ends before', 60, true],
    ['the link is gone', 60_000, false],
  ])('are given up where %s', (_, writeByMs, bound) => {
    const { again, ended, answer } = sendingOf(2, writeByMs, bound);
    answer(ACCEPTED, THROTTLED);
    expect(again).toEqual([]);
    expect(ended).toMatchObject([{ kind: 'accepted', acceptedParts: 1, parts: 2, throttled: true }]);
  });
});

test('a part that waited past the time of its claim is withheld', () => {
  expect(sendingOf(2, 60_000).sending.withheld()).toBeNull();
  expect(sendingOf(2, 0).sending.withheld()).toBe('late');
});

test.each([
  ['transient', [THROTTLED, TRANSIENT]],
  ['unknown', [THROTTLED, UNKNOWN]],
] as const)('a throttled part is told of a message that ends as %s', (kind, outcomes) => {
  const { ended, answer } = sendingOf(2);
  answer(...outcomes);
  expect(ended).toMatchObject([{ kind, throttled: true }]);
});

test('nothing is said of throttling and of writing again where there was none', () => {
  const { ended, answer } = sendingOf(1);
  answer(ACCEPTED);
  expect(Object.keys(ended[0] as SubmitOutcome).sort()).toEqual([
    'acceptedParts',
    'kind',
    'linkFault',
    'operatorIds',
    'parts',
  ]);
});

describe('the time of a submit', () => {
  test.each([
    [1, 100, 1],
    [10, 100, 1],
    [10, 4, 3],
    [10, 1, 10],
    [30, 1, 10],
  ])('%i parts in a window of %i are written within %i response timeouts', (parts, windowSize, rounds) => {
    const settings = smppSettings({ windowSize, responseTimeoutMs: 1_000 });
    expect(writeWithinMs(parts, settings)).toBe(rounds * 1_000);
  });

  test('is that of the slowest operator: the last part that is written has its response timeout as well', () => {
    const parsed = parseOperators({
      operators: {
        A: { connector: 'http', prefixes: ['911'], http: { url: 'http://127.0.0.1:1', timeout_ms: 2_000 } },
        B: {
          connector: 'smpp',
          prefixes: ['912'],
          smpp: { host: '127.0.0.1', system_id: 'a', password: 'b', window: 4, response_timeout_ms: 3_000 },
        },
      },
    });
    if (!parsed.ok) throw new Error(JSON.stringify(parsed));
    expect(submitMaxMs(parsed.file.operators)).toBe(3 * 3_000 + 3_000);
  });
});
