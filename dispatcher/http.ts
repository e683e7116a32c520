/** The dispatcher's HTTP door: operators, receipts of HTTP operators. */
import { Type } from '@sinclair/typebox';
import { AppError } from '../shared/error.ts';
import { createDoor, type DoorOptions, documented, jsonBody } from '../shared/http.ts';
import type { OperatorReceipt } from './connector.ts';
import type { Dispatch, Line } from './dispatch.ts';

const Operator = Type.Object({
  name: Type.String(),
  connector: Type.String(),
  ready: Type.Boolean(),
  breaker: Type.Union([Type.Literal('closed'), Type.Literal('open'), Type.Literal('half_open')]),
  rate: Type.Number({ description: 'submits a second that are allowed now; 0 is unlimited' }),
  window: Type.Object({ size: Type.Integer(), inflight: Type.Integer() }),
  binds: Type.Array(
    Type.Object({
      state: Type.String(),
      inflight: Type.Integer(),
      reconnects: Type.Integer(),
      last_error: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
  queued: Type.Object({ express: Type.Integer(), normal: Type.Integer(), bulk: Type.Integer() }),
  claimed: Type.Integer(),
  outcomes: Type.Record(Type.String(), Type.Integer()),
});

function operatorAnswer({ settings, pump, rate, breaker }: Line) {
  const now = performance.now();
  const link = pump.connector.state();
  const { queued, claimed } = pump.state();
  return {
    name: settings.name,
    connector: settings.connector,
    ready: link.ready,
    breaker: breaker.state(now),
    rate: rate.perSecond(now),
    window: { size: link.windowSize, inflight: link.inflight },
    binds: link.binds.map(({ lastError, ...bind }) => ({ ...bind, last_error: lastError })),
    queued,
    claimed,
    outcomes: { ...pump.counters },
  };
}

const ReceiptBody = Type.Object(
  {
    id: Type.String({
      minLength: 1,
      maxLength: 128,
      description: "the operator's id of the message, as its submit was answered",
      error: 'must be a text of 1 to 128 characters',
    }),
    status: Type.Union([Type.Literal('delivered'), Type.Literal('undelivered')], {
      error: 'must be delivered or undelivered',
    }),
    error: Type.Optional(
      Type.String({ pattern: '^[\\x20-\\x7e]{1,64}$', error: 'must be 1 to 64 printable ASCII characters' }),
    ),
    at: Type.Optional(Type.String({ format: 'date-time', maxLength: 40, error: 'must be an ISO 8601 instant' })),
  },
  { additionalProperties: false },
);

export type DispatcherDeps = {
  dispatch: Dispatch;
  /** Resolves when Kafka has the receipt. */
  onReceipt: (operator: string, receipt: OperatorReceipt) => Promise<void>;
};

export function dispatcherDoor(options: DoorOptions, { dispatch, onReceipt }: DispatcherDeps) {
  return createDoor(options)
    .get('/operators', () => ({ operators: dispatch.lines().map(operatorAnswer) }), {
      detail: documented('operators', "Each operator's state and counters", {
        200: {
          about: 'in the order of operator.json; counters since the start of this process',
          schema: Type.Object({ operators: Type.Array(Operator) }),
        },
      }),
    })
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
