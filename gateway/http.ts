/** The gateway's HTTP door: send, batch, preview, balance. */
import { Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { jsonBody } from '../shared/body.ts';
import { AppError } from '../shared/error.ts';
import type { BillingClient } from '../shared/grpc.ts';
import { createDoor, type DoorOptions } from '../shared/http.ts';
import { documented, idempotencyKeyOf, keyParameter, oneOf, Rials, UserId } from '../shared/openapi.ts';
import { fieldErrorsOf } from '../shared/violations.ts';
import { type AcceptDeps, accept } from './accept.ts';
import type { Admit } from './admission.ts';
import { acceptBatch } from './batch.ts';
import type { Gates } from './gate.ts';
import { previewMessage, type SendItem } from './message.ts';

const closed = { additionalProperties: false } as const;
const MessageType = oneOf(['express', 'normal'], {
  description: 'express: one-time passwords, ahead of everything; normal: the rest',
  default: 'normal',
  error: 'must be express or normal',
});
const item = {
  phone: Type.String({
    minLength: 1,
    maxLength: 64,
    description: 'an Iranian mobile number in any usual spelling',
    example: '09121234567',
    error: 'must be a text of 1 to 64 characters',
  }),
  text: Type.String({
    minLength: 1,
    maxLength: 40_000,
    description: 'at most 10 pages',
    example: 'کد تایید: 1234',
    error: 'must be a text of 1 to 40,000 characters',
  }),
  type: Type.Optional(MessageType),
  sender: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 20,
      description: "one of the account's line numbers",
      error: "must be one of the account's line numbers",
    }),
  ),
  client_ref: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      pattern: '^[\\x20-\\x7e]+$',
      description: 'your own reference; comes back in the report',
      error: 'must be 1 to 64 printable ASCII characters',
    }),
  ),
  replay_of: Type.Optional(
    Type.String({
      pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$',
      description: 'the message that this one repeats',
      error: 'must be a message id',
    }),
  ),
  valid_for_s: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 259_200,
      description: 'seconds after which it is not sent any more but refunded; 300 for express, 86400 for normal',
      error: 'must be a whole number from 1 to 259200',
    }),
  ),
};
/** Whole examples: from those of single fields a page makes a request with every field that may be left out, made up. */
const exampleItem = { phone: '09121234567', text: 'کد تایید: 1234', type: 'express' };
const SendBody = Type.Object({ ...item, user_id: UserId }, { ...closed, example: { ...exampleItem, user_id: '123' } });
const BatchItem = Type.Object(item, closed);
const BatchBody = Type.Object(
  {
    user_id: UserId,
    messages: Type.Array(Type.Any({ ...BatchItem }), {
      minItems: 1,
      maxItems: 1_000,
      error: 'must hold 1 to 1000 messages',
    }),
  },
  {
    ...closed,
    example: { user_id: '123', messages: [exampleItem, { phone: '09351234567', text: 'فروش ویژه' }] },
  },
);
const batchItem = TypeCompiler.Compile(BatchItem);

/** One message of a batch, checked by the schema; throws `invalid_request` naming the fields. */
function checkItem(value: unknown): SendItem {
  if (batchItem.Check(value)) return value;
  throw new AppError('invalid_request', 'The message does not fit its schema.', {
    fields: fieldErrorsOf(batchItem.Errors(value), 'message'),
  });
}

const Accepted = Type.Object({
  message_id: Type.String(),
  status: Type.Literal('queued'),
  user_id: Type.String(),
  operator: Type.String(),
  encoding: oneOf(['gsm7', 'ucs2']),
  pages: Type.Integer(),
  price: Rials('the price of all pages'),
});
const Batch = Type.Object({
  batch_id: Type.String(),
  accepted: Type.Integer(),
  refused: Type.Integer(),
  results: Type.Array(
    Type.Union([
      Accepted,
      Type.Object({
        error: Type.Object({
          code: Type.String(),
          detail: Type.String(),
          errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), detail: Type.String() }))),
        }),
      }),
    ]),
  ),
});
const Preview = Type.Object({
  encoding: oneOf(['gsm7', 'ucs2']),
  units: Type.Integer({ description: 'septets or UTF-16 code units' }),
  pages: Type.Integer(),
  price: Rials('the price of all pages'),
  forces_ucs2: Type.Array(Type.String(), { description: 'the characters that do not fit GSM-7, at most 20' }),
});
const Balance = Type.Object({
  user_id: Type.String(),
  available: Rials('can be spent'),
  held: Rials('on its way'),
  posted: Rials('spent'),
  topped_up: Rials('top-ups'),
});

const accepted = {
  message_id: '0193a5c8-7c11-7d3e-9f00-5a1b2c3d4e5f',
  status: 'queued',
  user_id: '123',
  operator: 'MCI',
  encoding: 'ucs2',
  pages: 1,
  price: 1250,
};
const bodyCodes = ['invalid_request', 'malformed_json', 'unsupported_media_type', 'payload_too_large'] as const;
const sendCodes = [...bodyCodes, 'idempotency_conflict', 'rate_limited', 'unavailable', 'outcome_unknown'] as const;
const REPLAYED = 'idempotency-replayed';

/** What an Idempotency-Key stands for: its hash is of the message alone. Without a key nobody looks, and nothing is copied. */
function keyedItem({ user_id: _, ...item }: SendItem & { user_id: string }): SendItem {
  return item;
}
const BALANCE_DEADLINE_MS = 2_000;

export function gatewayDoor(
  options: DoorOptions,
  deps: AcceptDeps,
  billing: BillingClient,
  gates: Gates,
  admit: Admit | null = null,
) {
  return createDoor(options)
    .post(
      '/send',
      async ({ body, set, request }) => {
        const { user_id } = body;
        const key = idempotencyKeyOf(request);
        const message = key === '' ? body : keyedItem(body);
        const gate = message.type === 'express' ? gates.express : gates.normal;
        const since = gate.enter(1);
        let held = false;
        try {
          if (admit !== null) await admit(request, user_id, 1);
          const { answer, replayed } = await accept(deps, user_id, message, key);
          held = true;
          set.status = 202;
          if (replayed) set.headers[REPLAYED] = 'true';
          return answer;
        } finally {
          gate.leave(1, since, held);
        }
      },
      {
        ...jsonBody,
        body: SendBody,
        detail: {
          ...keyParameter,
          ...documented(
            'send',
            'Send a message',
            {
              202: {
                about: 'accepted: its price is held and it will be submitted',
                schema: Accepted,
                example: accepted,
              },
            },
            [...sendCodes, 'no_route', 'insufficient_balance'],
            'With an Idempotency-Key a repeated send is sent and paid once; the first answer comes back with `Idempotency-Replayed: true`. `outcome_unknown` carries the message_id.',
          ),
        },
      },
    )
    .post(
      '/send/batch',
      async ({ body, set, request }) => {
        const { user_id, messages } = body;
        const key = idempotencyKeyOf(request);
        if (admit !== null) await admit(request, user_id, messages.length);
        const { answer, replayed } = await acceptBatch(deps, user_id, messages, key, checkItem);
        set.status = 202;
        if (replayed) set.headers[REPLAYED] = 'true';
        return answer;
      },
      {
        ...jsonBody,
        body: BatchBody,
        detail: {
          ...keyParameter,
          ...documented(
            'send',
            'Send up to 1,000 messages of one account',
            {
              202: {
                about: "each message's own result, in order",
                schema: Batch,
                example: {
                  batch_id: accepted.message_id,
                  accepted: 1,
                  refused: 1,
                  results: [
                    accepted,
                    { error: { code: 'no_route', detail: 'No operator carries the prefix of this number.' } },
                  ],
                },
              },
            },
            sendCodes,
            "One message's refusal is not another's. The batch_id joins them in the report.",
          ),
        },
      },
    )
    .post('/preview', ({ body }) => previewMessage(deps.rules(), body), {
      ...jsonBody,
      body: Type.Object(
        { text: item.text, type: Type.Optional(MessageType), phone: Type.Optional(item.phone) },
        { ...closed, example: exampleItem },
      ),
      detail: documented(
        'send',
        'What a text would cost',
        {
          200: {
            about: 'encoding, pages and price',
            schema: Preview,
            example: { encoding: 'ucs2', units: 14, pages: 1, price: 1250, forces_ucs2: ['ک', 'د', 'ت'] },
          },
        },
        [...bodyCodes, 'no_route'],
      ),
    })
    .get(
      '/balance/:user_id',
      async ({ params: { user_id } }) => {
        const { available, held, posted, topped_up } = await billing
          .call('GetBalance', { user_id }, BALANCE_DEADLINE_MS)
          .catch((thrown) => {
            throw new AppError('unavailable', 'The balances cannot be reached at the moment.', { cause: thrown });
          });
        return { user_id, available, held, posted, topped_up };
      },
      {
        params: Type.Object({ user_id: UserId }),
        detail: documented(
          'send',
          "An account's balance",
          {
            200: {
              about: 'the balance; zeros for an unknown account',
              schema: Balance,
              example: { user_id: '123', available: 122206, held: 1250, posted: 0, topped_up: 123456 },
            },
          },
          ['invalid_request', 'unavailable'],
        ),
      },
    );
}
