import { expect, test } from 'bun:test';
import { ID_SEPARATOR, publicationOf, type RecordFields } from '../../billing/outcome.ts';
import { decodeRetry, decodeStatus } from '../../shared/events.ts';
import { newId } from '../../shared/id.ts';
import { eventOf } from './calls.ts';

const ID = newId(1_700_000_000_000);
const EVENT = JSON.stringify(eventOf(ID, 'a', 890, 1_700_086_400_000));

/** What outcome_of of record.lua answers, by name. */
const publish = (fields: Record<string, string | number>) => {
  const known = { state: '', version: 1, attempt: 1, operator: '', ids: '', posted: '0', error: '', flags: '' };
  const rest = { decided_at: 1_700_000_001_000, dead: 0, user: 'a', not_before: 0, event: EVENT };
  return publicationOf(ID, Object.values({ ...known, ...rest, ...fields }) as unknown as RecordFields);
};
const base = { kind: 'status', id: ID, user_id: 'a', at: 1_700_000_001_000, dead: false, flags: [], operator_ids: [] };

test.each([
  ['held', 0],
  ['claimed', 0],
  ['claimed', 3],
  ['', 1],
  ['nonsense', 1],
])('a record that is %s with version %s has nothing to publish', (state, version) => {
  expect(publish({ state, version })).toBeNull();
});

test.each([
  [
    { state: 'sent', operator: 'MCI', ids: ['x,1', 'y'].join(ID_SEPARATOR), posted: '890', version: 1 },
    { status: 'sent', version: 1, attempt: 1, operator: 'MCI', operator_ids: ['x,1', 'y'], posted: 890, error: null },
  ],
  [
    {
      state: 'sent',
      attempt: 3,
      version: 5,
      operator: 'MTN',
      posted: '999999999999999',
      flags: 'perhaps_double,partial',
    },
    {
      status: 'sent',
      version: 5,
      attempt: 3,
      operator: 'MTN',
      posted: 999_999_999_999_999,
      error: null,
      flags: ['perhaps_double', 'partial'],
    },
  ],
  [
    { state: 'failed', posted: '0', error: 'expired', dead: 0 },
    { status: 'failed', version: 1, attempt: 1, operator: '', posted: 0, error: 'expired' },
  ],
  [
    { state: 'failed', attempt: 4, version: 4, posted: '0', error: 'busy', dead: 1, operator: 'MCI' },
    { status: 'failed', version: 4, attempt: 4, operator: 'MCI', posted: 0, error: 'busy', dead: true },
  ],
  [
    { state: 'unknown', operator: 'MCI', error: 'claim_left_behind' },
    { status: 'unknown', version: 1, attempt: 1, operator: 'MCI', posted: 0, error: 'claim_left_behind' },
  ],
])('%j is published as it stands, and its reader understands it', (fields, wanted) => {
  const { outcome, retry, retryNumber, confirm } = publish(fields as Record<string, string | number>) ?? {};
  const decoded = decodeStatus(outcome ?? null);
  expect(decoded as unknown).toEqual({ ...base, ...wanted });
  expect({ retry, retryNumber }).toEqual({ retry: '', retryNumber: 0 });
  // A decision stands, so it is confirmed without its version.
  expect(confirm).toBe(wanted.status === 'unknown' ? wanted.version : 0);
});

test.each([
  [2, 1],
  [3, 2],
  [4, 3],
])('a record that waits for attempt %s is published as retrying, with its message for tier %d', (attempt, tier) => {
  const publication = publish({ state: 'held', attempt, version: 2, not_before: 1700000005000, error: 'busy' });
  expect(decodeStatus(publication?.outcome ?? null) as unknown).toMatchObject({
    status: 'retrying',
    attempt: tier,
    error: 'busy',
  });
  expect(publication?.retryNumber).toBe(tier);
  expect(decodeRetry(publication?.retry ?? null) as unknown).toEqual({
    ...eventOf(ID, 'a', 890, 1_700_086_400_000),
    accepted_at: expect.any(Number),
    attempt,
    not_before: 1_700_000_005_000,
  });
});

test('a retry after an unknown outcome is for the same operator alone', () => {
  const retryOf = (flags: string) =>
    decodeRetry(publish({ state: 'held', attempt: 2, operator: 'MTN', not_before: 1, flags })?.retry ?? null);
  expect(retryOf('perhaps_double')?.pinned).toBe('MTN');
  expect(retryOf('fallback')?.pinned).toBeUndefined();
});
