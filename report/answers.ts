/** What the routes answer: schemas and examples for the documentation. */
import { Type } from '@sinclair/typebox';
import { oneOf, Rials } from '../shared/openapi.ts';
import { STATUSES } from './filter.ts';
import { Item, nullable, Step } from './item.ts';

const NextCursor = nullable(Type.String({ description: 'ask again with it for the next page; null at the end' }));
const Day = Type.String({ description: 'a day in REPORT_TIME_ZONE', example: '2026-11-22' });

export const Format = Type.Optional(oneOf(['json', 'csv'], { default: 'json', error: 'must be json or csv' }));

export const Page = Type.Object({
  user_id: Type.String(),
  items: Type.Array(Item),
  counts: Type.Object(Object.fromEntries(STATUSES.map((status) => [status, Type.Integer()]))),
  next_cursor: NextCursor,
});

const itemExample = {
  message_id: '0193a5c8-7c11-7d3e-9f00-5a1b2c3d4e5f',
  phone: '+989121234567',
  text: 'کد تایید: 1234',
  type: 'express',
  sender: '10001234',
  status: 'sent',
  operator: 'MCI',
  encoding: 'ucs2',
  pages: 1,
  price: 1250,
  posted: 1250,
  attempts: 1,
  error: null,
  flags: [],
  batch_id: null,
  client_ref: null,
  replay_of: null,
  created_at: '2026-11-22T08:30:00.123Z',
  updated_at: '2026-11-22T08:30:00.301Z',
};
const noCounts = Object.fromEntries(STATUSES.map((status) => [status, 0]));

export const pageExample = {
  user_id: '123',
  items: [itemExample],
  counts: { ...noCounts, sent: 1 },
  next_cursor: null,
};

export const Message = Type.Composite([
  Type.Object({ user_id: Type.String() }),
  Item,
  Type.Object({ timeline: Type.Array(Step) }),
]);

const timelineExample = [
  { at: '2026-11-22T08:30:00.123Z', event: 'queued', attempt: null, operator: 'MCI', detail: null, posted: null },
  { at: '2026-11-22T08:30:00.301Z', event: 'sent', attempt: 1, operator: 'MCI', detail: null, posted: 1250 },
];
export const messageExample = { user_id: '123', ...itemExample, timeline: timelineExample };

export const Summary = Type.Object({
  user_id: Type.String(),
  time_zone: Type.String(),
  items: Type.Array(
    Type.Object({
      day: Day,
      operator: Type.String(),
      type: nullable(Type.String()),
      messages: Type.Integer(),
      pages: Type.Integer(),
      cost: Rials('what was spent'),
    }),
  ),
  total: Type.Object(
    { messages: Type.Integer(), pages: Type.Integer(), cost: Rials('what was spent') },
    { description: 'of this page' },
  ),
  next_cursor: NextCursor,
});
export const summaryExample = {
  user_id: '123',
  time_zone: 'Asia/Tehran',
  items: [{ day: '2026-11-22', operator: 'MCI', type: 'express', messages: 1, pages: 1, cost: 1250 }],
  total: { messages: 1, pages: 1, cost: 1250 },
  next_cursor: null,
};

export const Statement = Type.Object({
  user_id: Type.String(),
  time_zone: Type.String(),
  totals: Type.Object({
    topped_up: Rials('top-ups and corrections'),
    spent: Rials('what messages cost'),
    balance: Rials('the difference: available and held together'),
  }),
  items: Type.Array(
    Type.Object({
      day: Day,
      at: nullable(Type.String({ description: 'ISO 8601 UTC; null for the spending of a whole day' })),
      kind: oneOf(['topup', 'adjust', 'spending']),
      amount: Rials('signed: spending is negative'),
      balance_after: Rials('available and held together after it'),
      transaction_id: nullable(Type.String()),
      reason: nullable(Type.String({ description: 'why it was corrected' })),
      messages: nullable(Type.Integer({ description: "the day's messages that cost something" })),
    }),
  ),
  next_cursor: NextCursor,
});
export const statementExample = {
  user_id: '123',
  time_zone: 'Asia/Tehran',
  totals: { topped_up: 123456, spent: 1250, balance: 122206 },
  items: [
    {
      day: '2026-11-22',
      at: null,
      kind: 'spending',
      amount: -1250,
      balance_after: 123236,
      transaction_id: null,
      reason: null,
      messages: 1,
    },
    {
      day: '2026-11-22',
      at: '2026-11-22T08:29:11.000Z',
      kind: 'topup',
      amount: 123456,
      balance_after: 123456,
      transaction_id: '0193a5c7-b0d8-7aa1-8c3d-1f2e3d4c5b6a',
      reason: null,
      messages: null,
    },
  ],
  next_cursor: null,
};

export const Totals = Type.Object({
  user_id: Type.String(),
  topped_up: Rials('top-ups and corrections'),
  posted: Rials('what was spent'),
  watermark: Type.Object({
    records_behind: Type.Integer({ description: 'records of sms-status and billing-ledger that are still to be read' }),
    read_until: nullable(Type.String({ description: 'ISO 8601 UTC' })),
  }),
});
export const totalsExample = {
  user_id: '123',
  topped_up: 123456,
  posted: 1250,
  watermark: { records_behind: 0, read_until: '2026-11-22T08:30:01.000Z' },
};

export const DeadLetters = Type.Object({
  items: Type.Array(
    Type.Object({
      message_id: Type.String(),
      user_id: Type.String(),
      phone: nullable(Type.String()),
      text: nullable(Type.String()),
      type: nullable(Type.String()),
      sender: nullable(Type.String()),
      client_ref: nullable(Type.String()),
      operator: Type.String(),
      attempts: Type.Integer(),
      reason: nullable(Type.String()),
      died_at: Type.String(),
      replayed_as: nullable(Type.String({ description: 'the message that it was sent again as' })),
      history: Type.Array(Step),
    }),
  ),
  next_cursor: NextCursor,
});
export const deadLettersExample = {
  items: [
    {
      message_id: itemExample.message_id,
      user_id: '123',
      phone: itemExample.phone,
      text: itemExample.text,
      type: 'normal',
      sender: '10001234',
      client_ref: null,
      operator: 'MCI',
      attempts: 4,
      reason: 'http_503',
      died_at: '2026-11-22T08:33:00.000Z',
      replayed_as: null,
      history: [
        timelineExample[0],
        { ...timelineExample[1], event: 'failed', attempt: 4, detail: 'http_503', posted: 0 },
      ],
    },
  ],
  next_cursor: null,
};

export const Replay = Type.Object(
  {
    message_id: Type.String({ description: 'the new message' }),
    replay_of: Type.String(),
    status: Type.Literal('queued'),
    user_id: Type.String(),
    already_replayed: Type.Boolean({ description: 'it was sent by an earlier call' }),
    operator: Type.Optional(Type.String()),
    encoding: Type.Optional(Type.String()),
    pages: Type.Optional(Type.Integer()),
    price: Type.Optional(Rials('the price of all pages')),
  },
  { description: 'a first call answers what the gateway answered as well' },
);
export const replayExample = {
  message_id: '0193a5d0-1b2c-7e4f-8a90-b1c2d3e4f506',
  replay_of: itemExample.message_id,
  status: 'queued',
  user_id: '123',
  operator: 'MCI',
  encoding: 'ucs2',
  pages: 1,
  price: 1250,
  already_replayed: false,
};
