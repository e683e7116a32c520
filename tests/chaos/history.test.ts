/** The checker of histories, checked: it finds each rule broken, and nothing in a history as promised. */
import { expect, test } from 'bun:test';
import { faultsOf, type History, type Seen, type Shown, type Told } from './history.ts';

const PRICE = 100;
const sent = (over: Partial<Shown> = {}): Shown => ({
  userId: 'a',
  status: 'sent',
  price: PRICE,
  posted: PRICE,
  attempts: 1,
  flags: [],
  ...over,
});
const failed = (over: Partial<Shown> = {}): Shown => sent({ status: 'failed', posted: 0, ...over });

type Part = { shown: Shown; seen?: Seen; told?: Told | null };
type Over = Partial<Omit<History, 'shown' | 'seen' | 'told'>> & { books?: Record<string, number>; extra?: Told[] };

/** A drained history of these messages; its books follow from them unless they are said otherwise. */
function history(parts: Record<string, Part>, { books = {}, extra = [], ...over }: Over = {}): History {
  const shown = new Map<string, Shown>();
  const seen = new Map<string, Seen>();
  const told: Told[] = [...extra];
  let posted = 0;
  for (const [id, part] of Object.entries(parts)) {
    shown.set(id, part.shown);
    seen.set(id, part.seen ?? { received: 1, accepted: 1 });
    if (part.told !== null) told.push(part.told ?? { kind: 'accepted', id, price: PRICE, userId: 'a' });
    posted += part.shown.posted;
  }
  const redis = { topped_up: 1_000, available: 1_000 - posted, held: 0, posted, open_holds: 0, ...books };
  return {
    policy: 'wait',
    told,
    seen,
    shown,
    accounts: new Map([['a', { charged: 1_000, redis, postgres: { topped_up: 1_000, posted } }]]),
    flaggedMax: 2,
    ...over,
  };
}

const NOT_SEEN = { received: 0, accepted: 0 };

test('a history as promised has no fault', () => {
  const waiting = history(
    {
      plain: { shown: sent() },
      delivered: { shown: sent({ status: 'delivered' }) },
      lost: { shown: failed({ flags: ['perhaps_sent'] }) },
      claimed: { shown: failed({ flags: ['perhaps_sent'] }), seen: NOT_SEEN },
      untold: { shown: sent(), told: { kind: 'unknown', id: null, userId: 'a' } },
    },
    {
      extra: [
        { kind: 'unknown', id: 'never', userId: 'a' },
        { kind: 'refused', userId: 'a' },
      ],
    },
  );
  expect(faultsOf(waiting)).toEqual([]);
  const resent = { shown: sent({ attempts: 2, flags: ['perhaps_double'] }), seen: { received: 2, accepted: 1 } };
  expect(faultsOf(history({ resent }, { policy: 'resend' }))).toEqual([]);
  const refused = {
    again: { shown: sent({ attempts: 2, refusable: true }), seen: { received: 2, accepted: 1 } },
    never: { shown: failed({ attempts: 4, refusable: true }), seen: { received: 4, accepted: 0 } },
  };
  expect(faultsOf(history(refused))).toEqual([]);
  expect(faultsOf(history(refused, { policy: 'resend' }))).toEqual([]);
});

const BROKEN: Record<string, [History, string]> = {
  'a message that was accepted and is gone': [
    history({}, { extra: [{ kind: 'accepted', id: 'gone', price: PRICE, userId: 'a' }] }),
    'the report does not know it',
  ],
  'a message without an end': [
    history({ m: { shown: sent({ status: 'retrying', posted: 0 }) } }),
    'no terminal status',
  ],
  'a message that is posted twice': [history({ m: { shown: sent({ posted: 2 * PRICE }) } }), 'posted 200 of 100'],
  'a failed message that is paid': [
    history({ m: { shown: failed({ posted: PRICE, flags: ['perhaps_sent'] }) } }),
    'posted 100',
  ],
  'a message that was accepted twice': [
    history({ m: { shown: sent(), seen: { received: 1, accepted: 2 } } }),
    'accepted 2 times',
  ],
  'a message that was submitted again though its answer is waited for': [
    history({ m: { shown: sent(), seen: { received: 2, accepted: 1 } } }),
    'submitted 2 times though',
  ],
  'a message that was submitted again without a flag': [
    history({ m: { shown: sent(), seen: { received: 2, accepted: 1 } } }, { policy: 'resend' }),
    'without a flag',
  ],
  'a paid message that no operator took': [history({ m: { shown: sent(), seen: NOT_SEEN } }), 'no operator took it'],
  'a refund without a flag of what an operator took': [history({ m: { shown: failed() } }), 'refunded without a flag'],
  'a failure where asking again was allowed': [
    history({ m: { shown: failed({ flags: ['perhaps_sent'] }) } }, { policy: 'resend' }),
    'could be asked for again',
  ],
  'a refund for which there is no reason': [history({ m: { shown: failed(), seen: NOT_SEEN } }), 'nobody refused it'],
  "a message whose own operator's answers are waited for, and that was submitted again": [
    history({ m: { shown: sent({ policy: 'wait' }), seen: { received: 2, accepted: 1 } } }, { policy: 'resend' }),
    'submitted 2 times though',
  ],
  'a refund without a flag of what an operator took among refusals': [
    history({ m: { shown: failed({ refusable: true }) } }),
    'refunded without a flag',
  ],
  'more attempts than four': [history({ m: { shown: sent({ attempts: 5 }) } }), '5 attempts'],
  'a submit without a hold': [
    { ...history({}), seen: new Map([['x', { received: 1, accepted: 1 }]]) },
    'without a hold',
  ],
  'one id for two sends': [
    history({ m: { shown: sent() } }, { extra: [{ kind: 'accepted', id: 'm', price: PRICE, userId: 'a' }] }),
    'the same message id',
  ],
  "another's price": [
    history({ m: { shown: sent(), told: { kind: 'accepted', id: 'm', price: 1, userId: 'a' } } }),
    "is another's",
  ],
  'money from nowhere': [history({ m: { shown: sent() } }, { books: { available: 901 } }), 'accounted for'],
  'a hold that never ends': [
    history({ m: { shown: sent() } }, { books: { available: 800, held: 100, open_holds: 1 } }),
    'held by 1',
  ],
  'books that say another sum than the messages': [
    history({ m: { shown: sent() } }, { books: { available: 800, posted: 200 } }),
    'its messages say 100',
  ],
  'a top-up that is lost': [
    history({ m: { shown: sent() } }, { books: { topped_up: 999, available: 899 } }),
    'topped up with 1000',
  ],
  'another account in PostgreSQL': [
    {
      ...history({}),
      accounts: new Map([
        [
          'a',
          {
            charged: 5,
            redis: { topped_up: 5, available: 5, held: 0, posted: 0, open_holds: 0 },
            postgres: { topped_up: 4, posted: 0 },
          },
        ],
      ]),
    },
    'PostgreSQL says',
  ],
  'a message that nobody sent': [history({ m: { shown: sent(), told: null } }), '1 messages of 0 accepted'],
  'more flags than claims': [
    history(Object.fromEntries(['1', '2', '3'].map((id) => [id, { shown: failed({ flags: ['perhaps_sent'] }) }]))),
    'at most 2',
  ],
};

for (const [name, [broken, sentence]] of Object.entries(BROKEN)) {
  test(`finds ${name}`, () => {
    expect(faultsOf(broken).filter((fault) => fault.includes(sentence))).not.toEqual([]);
  });
}
