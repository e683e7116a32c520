import { describe, expect, test } from 'bun:test';
import {
  addReceipt,
  addStatus,
  type Decided,
  expectedParts,
  patchOf,
  shownStatus,
  takesOver,
} from '../../report/fold.ts';
import { messageEvent, receiptEvent, statusEvent } from './fixture.ts';

describe('a decision takes the place of another', () => {
  test.each<[Decided, number, Decided, number, boolean]>([
    ['queued', 0, 'retrying', 1, true],
    ['retrying', 1, 'retrying', 2, true],
    ['retrying', 2, 'retrying', 1, false],
    ['retrying', 1, 'unknown', 1, true],
    ['unknown', 1, 'retrying', 1, false],
    ['unknown', 2, 'retrying', 3, true],
    ['retrying', 3, 'sent', 2, true],
    ['unknown', 3, 'failed', 1, true],
    ['sent', 1, 'failed', 2, false],
    ['failed', 1, 'sent', 2, false],
    ['sent', 1, 'retrying', 9, false],
    ['retrying', 1, 'queued', 0, false],
  ])('%s (version %i) by %s (version %i): %p', (standing, version, next, nextVersion, taken) => {
    expect(takesOver({ status: standing, version }, { status: next, version: nextVersion })).toBe(taken);
  });
});

describe('what is shown', () => {
  const yes = { status: 'delivered' } as const;
  const no = { status: 'undelivered' } as const;
  test.each<[Decided, (typeof yes | typeof no)[], number, string]>([
    ['queued', [yes], 1, 'queued'],
    ['unknown', [yes], 1, 'unknown'],
    ['failed', [yes], 1, 'failed'],
    ['sent', [], 0, 'sent'],
    ['sent', [yes], 0, 'delivered'],
    ['sent', [yes], 1, 'delivered'],
    ['sent', [yes], 2, 'sent'],
    ['sent', [yes, yes], 2, 'delivered'],
    ['sent', [yes, no], 3, 'undelivered'],
    ['sent', [no], 3, 'undelivered'],
  ])('%s with %j of %i parts is %s', (decided, receipts, parts, shown) => {
    expect(shownStatus(decided, receipts, parts)).toBe(shown as never);
  });
});

test.each<[string[], boolean, number | null, number]>([
  [['a'], false, 3, 1],
  [['a', 'b'], false, null, 2],
  [['a'], true, 3, 3],
  [['a', 'b', 'c', 'd'], true, 3, 4],
  [[], true, 2, 2],
  [['a'], true, null, 32_767],
])(
  'with the ids %j, partial %p, of %p pages the receipts of %i parts are expected',
  (operator_ids, partial, pages, parts) => {
    const message = messageEvent(pages === null ? {} : { pages });
    const decision = statusEvent(message, { operator_ids, flags: partial ? ['partial'] : [] });
    expect(expectedParts({ decision, message: pages === null ? null : message })).toBe(parts);
  },
);

test('a decision that comes twice is one step, and the first receipt of a part stands', () => {
  const message = messageEvent();
  const patch = patchOf(message.id, message.user_id);
  const retrying = statusEvent(message, { status: 'retrying' });
  const sent = statusEvent(message, { version: 2 });
  for (const event of [sent, retrying, sent, retrying]) addStatus(patch, event);
  expect([patch.decision?.version, patch.others.map(({ version }) => version)]).toEqual([2, [1]]);
  addReceipt(patch, receiptEvent(sent));
  addReceipt(patch, receiptEvent(sent, { status: 'undelivered' }));
  expect([...(patch.receipts?.values() ?? [])].map(({ status }) => status)).toEqual(['delivered']);
});
