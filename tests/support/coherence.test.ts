import { expect, test } from 'bun:test';
import { faultsOf, type Shard } from './coherence.ts';
import { TAGS, tagOf } from './shards.ts';

/** An account with one message of each kind, and books that are right. */
function books(): Shard {
  const record = { user: 'a', attempt: '1', version: '0', published: '0', event: '{}' };
  const decided = { ...record, version: '1', event: '' };
  return {
    tag: tagOf('a'),
    accounts: new Map([['a', { available: 60, held: 30, posted: 10, topped_up: 100, open: 2 }]]),
    records: new Map([
      ['held', { ...record, state: 'held', price: '10' }],
      ['claimed', { ...record, state: 'claimed', price: '20' }],
      ['sent', { ...decided, state: 'sent', price: '12', posted: '10' }],
      ['failed', { ...decided, state: 'failed', price: '5', posted: '0' }],
    ]),
    outbox: new Map([['held', 1]]),
    due: new Map([
      ['held', 1],
      ['claimed', 1],
      ['sent', 1],
    ]),
    leaving: new Map([['failed', 1]]),
    ledger: [],
  };
}

test('books that are right have no fault', () => {
  expect(faultsOf(books())).toEqual([]);
});

const account = (shard: Shard) =>
  shard.accounts.get('a') as { available: number; held: number; posted: number; topped_up: number; open: number };
const record = (shard: Shard, id: string) => shard.records.get(id) as Record<string, string>;

test.each<[string, (shard: Shard) => unknown]>([
  ['a Rial is lost', (s) => (account(s).available -= 1)],
  ['a Rial is made', (s) => (account(s).topped_up -= 1)],
  ['a balance is below zero', (s) => Object.assign(account(s), { available: -1, posted: 71 })],
  ['a hold belongs to no message', (s) => Object.assign(account(s), { available: 59, held: 31 })],
  ['a message is open that nobody counted', (s) => (account(s).open -= 1)],
  ['a message disappeared', (s) => s.records.delete('claimed')],
  ['a message is in the wrong shard', (s) => (s.tag = TAGS.find((tag) => tag !== s.tag) as string)],
  ['an open message will never be looked at', (s) => s.due.delete('claimed')],
  ['an open message is being forgotten', (s) => s.leaving.set('held', 1)],
  ['a decided message is neither published nor forgotten', (s) => s.due.delete('sent')],
  ['a decided message is published and forgotten', (s) => s.leaving.set('sent', 1)],
  ['an index names a message that is gone', (s) => s.due.set('gone', 1)],
  ['a fifth attempt', (s) => (record(s, 'held').attempt = '5')],
  ['a failed message is paid', (s) => (record(s, 'failed').posted = '1')],
  ['a sent message costs more than its price', (s) => (record(s, 'sent').posted = '13')],
  ['more was published than decided', (s) => (record(s, 'sent').published = '2')],
])('the check sees it when %s', (_, spoil) => {
  const shard = books();
  spoil(shard);
  expect(faultsOf(shard)).not.toEqual([]);
});
