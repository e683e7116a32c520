/** The dispatcher's HTTP door: operators, receipts of HTTP operators. */
import { Type } from '@sinclair/typebox';
import { jsonBody } from '../shared/body.ts';
import { AppError } from '../shared/error.ts';
import { createDoor, type DoorOptions } from '../shared/http.ts';
import { documented, oneOf } from '../shared/openapi.ts';
import type { PortedEntry, PortedNumbers } from '../shared/ported.ts';
import type { OperatorsFile } from '../shared/sms/operators.ts';
import { parsePhone } from '../shared/sms/phone.ts';
import type { Dispatch } from './dispatch.ts';
import { Operator, operatorAnswer, operatorExample } from './operator-answer.ts';
import type { PublishReceipt } from './receipts.ts';

const ReceiptBody = Type.Object(
  {
    id: Type.String({
      minLength: 1,
      maxLength: 128,
      description: "the operator's id of the message, as its submit was answered",
      error: 'must be a text of 1 to 128 characters',
    }),
    status: oneOf(['delivered', 'undelivered'], {
      error: 'must be delivered or undelivered',
    }),
    message_id: Type.Optional(
      Type.String({
        pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$',
        description: 'our own id, where the operator knows it',
        error: 'must be a message id',
      }),
    ),
    error: Type.Optional(
      Type.String({ pattern: '^[\\x20-\\x7e]{1,64}$', error: 'must be 1 to 64 printable ASCII characters' }),
    ),
    phone: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: "the handset's number: a receipt without `message_id` settles its only open unknown",
        error: 'must be a text of 1 to 64 characters',
      }),
    ),
    at: Type.Optional(Type.String({ format: 'date-time', maxLength: 40, error: 'must be an ISO 8601 instant' })),
  },
  { additionalProperties: false },
);

const Ported = Type.Object({
  phone: Type.String(),
  operator: Type.String(),
  until: Type.Union([Type.String(), Type.Null()], { description: 'when it is forgotten; null: never' }),
  source: Type.String({ description: 'learned, entered, imported or operator.json' }),
  at: Type.Union([Type.String(), Type.Null()]),
});
const PortedBody = Type.Object(
  {
    operator: Type.String({ minLength: 1, maxLength: 32, error: 'must be the name of an operator' }),
    days: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 3650,
        description: 'after so many days it is forgotten; for good without it',
        error: 'must be a whole number from 1 to 3650',
      }),
    ),
  },
  { additionalProperties: false },
);
const phoneParams = Type.Object({
  phone: Type.String({
    minLength: 1,
    maxLength: 64,
    description: 'an Iranian mobile number in any usual spelling',
    example: '09121234567',
  }),
});

function phoneOf(text: string): string {
  const phone = parsePhone(text);
  if (phone === null)
    throw new AppError('invalid_request', 'The number does not fit.', {
      fields: [{ field: 'phone', detail: 'is not an Iranian mobile number' }],
    });
  return phone;
}

const portedAnswer = (phone: string, { operator, until, source, at }: PortedEntry) => ({
  phone,
  operator,
  until: until === null ? null : new Date(until).toISOString(),
  source,
  at: new Date(at).toISOString(),
});

const unavailable = (thrown: unknown): never => {
  throw new AppError('unavailable', 'The ported numbers cannot be changed at the moment.', { cause: thrown });
};

const portedExample = {
  phone: '+989121234567',
  operator: 'MTN',
  until: null,
  source: 'entered',
  at: '2026-11-22T10:00:00.000Z',
};

export type DispatcherDeps = {
  dispatch: Dispatch;
  ported: PortedNumbers;
  operators: () => OperatorsFile;
  /** Resolves when Kafka has the receipt. */
  onReceipt: PublishReceipt;
};

export function dispatcherDoor(options: DoorOptions, { dispatch, onReceipt, ported, operators }: DispatcherDeps) {
  return createDoor(options)
    .get('/operators', () => ({ operators: dispatch.lines().map((line) => operatorAnswer(line, performance.now())) }), {
      detail: documented('operators', "Each operator's state and counters", {
        200: {
          about: 'in the order of operator.json; counters since the start of this process',
          schema: Type.Object({ operators: Type.Array(Operator) }),
          example: { operators: [operatorExample] },
        },
      }),
    })
    .get(
      '/ported-numbers/:phone',
      ({ params }) => {
        const phone = phoneOf(params.phone);
        const entry = ported.entry(phone);
        const fixed = operators().portedNumbers.get(phone);
        if (entry) return portedAnswer(phone, entry);
        if (fixed === undefined) throw new AppError('not_found', 'This number is not known as ported.');
        return { phone, operator: fixed, until: null, source: 'operator.json', at: null };
      },
      {
        params: phoneParams,
        detail: documented(
          'ported numbers',
          'Where a ported number went',
          {
            200: {
              about: 'as it was learned, entered or imported, else as operator.json says',
              schema: Ported,
              example: portedExample,
            },
          },
          ['invalid_request', 'not_found'],
        ),
      },
    )
    .put(
      '/ported-numbers/:phone',
      async ({ params, body }) => {
        const phone = phoneOf(params.phone);
        if (!operators().operators.some(({ name }) => name === body.operator)) {
          throw new AppError('invalid_request', 'There is no such operator.', {
            fields: [{ field: 'operator', detail: 'must be a name of operator.json' }],
          });
        }
        const at = Date.now();
        const entry: PortedEntry = {
          operator: body.operator,
          until: body.days === undefined ? null : at + body.days * 86_400_000,
          source: 'entered',
          at,
        };
        await ported.set(phone, entry).catch(unavailable);
        return portedAnswer(phone, entry);
      },
      {
        ...jsonBody,
        params: phoneParams,
        body: PortedBody,
        detail: documented(
          'ported numbers',
          'Enter a ported number',
          {
            200: { about: 'kept; every process routes by it within a second', schema: Ported, example: portedExample },
          },
          ['invalid_request', 'malformed_json', 'unsupported_media_type', 'payload_too_large', 'unavailable'],
        ),
      },
    )
    .delete(
      '/ported-numbers/:phone',
      async ({ params, set }) => {
        const phone = phoneOf(params.phone);
        if (!(await ported.remove(phone).catch(unavailable)))
          throw new AppError('not_found', 'This number is not known as ported.');
        set.status = 204;
      },
      {
        params: phoneParams,
        detail: documented('ported numbers', 'Forget a ported number', { 204: { about: 'forgotten' } }, [
          'invalid_request',
          'not_found',
          'unavailable',
        ]),
      },
    )
    .post(
      '/receipts/:operator',
      async ({ params, body, set }) => {
        const line = dispatch
          .lines()
          .find(({ settings }) => settings.name.toLowerCase() === params.operator.toLowerCase());
        if (!line) throw new AppError('not_found', 'There is no such operator.');
        const at = body.at === undefined ? Date.now() : Date.parse(body.at);
        await onReceipt(line.settings.name, {
          operatorId: body.id,
          messageId: body.message_id,
          phone: body.phone === undefined ? undefined : phoneOf(body.phone),
          status: body.status,
          error: body.error ?? null,
          at,
        }).catch((thrown) => {
          throw new AppError('unavailable', 'The receipt could not be kept; send it again.', { cause: thrown });
        });
        set.status = 202;
        return { status: 'accepted' };
      },
      {
        params: Type.Object({ operator: Type.String({ minLength: 1, maxLength: 32 }) }),
        ...jsonBody,
        body: ReceiptBody,
        detail: documented(
          'operators',
          'A delivery receipt of an HTTP operator',
          {
            202: {
              about: 'kept; it is matched in the report',
              schema: Type.Object({ status: Type.Literal('accepted') }),
              example: { status: 'accepted' },
            },
          },
          [
            'invalid_request',
            'malformed_json',
            'unsupported_media_type',
            'payload_too_large',
            'not_found',
            'unavailable',
          ],
        ),
      },
    );
}
