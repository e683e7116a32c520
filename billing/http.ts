/** billing's HTTP door: top-ups, corrections, balances, audit. */
import { Type } from '@sinclair/typebox';
import { jsonBody } from '../shared/body.ts';
import { AppError } from '../shared/error.ts';
import { createDoor, type DoorOptions } from '../shared/http.ts';
import { AMOUNT_MAX_RIALS, parseAmount } from '../shared/money.ts';
import { documented, IdempotencyKey, Rials, UserId } from '../shared/openapi.ts';
import { type AccountDeps, auditOf, type ReportTotals, readBalance, topUp } from './accounts.ts';

const params = Type.Object({ user_id: UserId });
const headers = Type.Object({ 'idempotency-key': Type.Optional(IdempotencyKey) });
const query = Type.Object({}, { additionalProperties: false });
const AMOUNT_DETAIL = 'must be a whole number of Rials above zero with at most 15 digits';

/** What PostgreSQL could not keep, or would keep as something else. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u;

const TopUpAnswer = Type.Object({
  user_id: Type.String(),
  transaction_id: Type.String(),
  amount: Rials('what was booked'),
  available: Rials('what can be spent now'),
});
const Balance = Type.Object({
  user_id: Type.String(),
  available: Rials('what can be spent'),
  held: Rials('prices of messages on their way'),
  posted: Rials('what was spent'),
  topped_up: Rials('the sum of top-ups and corrections'),
});
const Audit = Type.Object({
  user_id: Type.String(),
  redis: Type.Object({
    topped_up: Rials('top-ups'),
    available: Rials('available'),
    held: Rials('held'),
    posted: Rials('posted'),
    open_holds: Type.Integer(),
  }),
  postgres: Type.Union([
    Type.Object({ topped_up: Rials('top-ups read from billing-ledger'), posted: Rials("the messages' own sums") }),
    Type.Null(),
  ]),
  lag: Type.Object({
    topped_up: Type.Union([Type.Integer(), Type.Null()]),
    posted: Type.Union([Type.Integer(), Type.Null()]),
    records: Type.Union([Type.Integer(), Type.Null()]),
    read_until: Type.Union([Type.String(), Type.Null()]),
  }),
  balanced: Type.Boolean(),
});

const exampleId = '0193a5c8-7c11-7d3e-9f00-5a1b2c3d4e5f';

export function billingDoor(
  options: DoorOptions,
  deps: AccountDeps,
  totalsOf: (userId: string) => Promise<ReportTotals | null>,
) {
  const answerOf = async (set: { headers: Record<string, string | number> }, command: Parameters<typeof topUp>[1]) => {
    const { answer, replayed } = await topUp(deps, command);
    if (replayed) set.headers['idempotency-replayed'] = 'true';
    return answer;
  };
  return createDoor(options)
    .post(
      '/charge/:user_id',
      ({ params, query, headers, set }) => {
        const amount = parseAmount(query.amount);
        if (amount === null)
          throw new AppError('invalid_request', 'The amount does not fit.', {
            fields: [{ field: 'amount', detail: AMOUNT_DETAIL }],
          });
        const key = headers['idempotency-key'] ?? '';
        return answerOf(set, { userId: params.user_id, kind: 'topup', amount, reason: null, key });
      },
      {
        params,
        headers,
        query: Type.Object(
          {
            amount: Type.String({
              pattern: '^[0-9]{1,15}$',
              error: AMOUNT_DETAIL,
              description: 'integer Rials above zero',
              example: '123456',
            }),
          },
          { additionalProperties: false },
        ),
        detail: documented(
          'accounts',
          'Top an account up',
          {
            200: {
              about: 'booked',
              schema: TopUpAnswer,
              example: { user_id: '123', transaction_id: exampleId, amount: 123456, available: 123456 },
            },
          },
          ['invalid_request', 'idempotency_conflict', 'unavailable', 'outcome_unknown'],
          'With an Idempotency-Key a repeated top-up counts once, for 24 hours; the first answer comes back with `Idempotency-Replayed: true`.',
        ),
      },
    )
    .post(
      '/adjust/:user_id',
      ({ params, body, headers, set }) => {
        if (body.amount === 0)
          throw new AppError('invalid_request', 'The amount does not fit.', {
            fields: [{ field: 'amount', detail: 'must not be zero' }],
          });
        if (UNPRINTABLE.test(body.reason))
          throw new AppError('invalid_request', 'The reason does not fit.', {
            fields: [{ field: 'reason', detail: 'holds control characters or half of a surrogate pair' }],
          });
        const key = headers['idempotency-key'] ?? '';
        return answerOf(set, { userId: params.user_id, kind: 'adjust', amount: body.amount, reason: body.reason, key });
      },
      {
        params,
        headers,
        query,
        ...jsonBody,
        body: Type.Object(
          {
            amount: Type.Integer({
              minimum: -AMOUNT_MAX_RIALS,
              maximum: AMOUNT_MAX_RIALS,
              description: 'signed integer Rials, not zero',
              example: -500,
            }),
            reason: Type.String({
              minLength: 1,
              maxLength: 200,
              pattern: '\\S',
              description: 'why; it stands in the statement',
              error: 'must be 1 to 200 characters, not blanks alone',
              example: 'double charge of 1403/09/01',
            }),
          },
          { additionalProperties: false },
        ),
        detail: documented(
          'accounts',
          'Correct a balance',
          {
            200: {
              about: 'booked',
              schema: TopUpAnswer,
              example: { user_id: '123', transaction_id: exampleId, amount: -500, available: 122956 },
            },
          },
          [
            'invalid_request',
            'malformed_json',
            'unsupported_media_type',
            'payload_too_large',
            'insufficient_balance',
            'idempotency_conflict',
            'unavailable',
            'outcome_unknown',
          ],
          'A signed correction with a reason. It never takes more than is available, and stands in the statement like a top-up.',
        ),
      },
    )
    .get(
      '/balance/:user_id',
      async ({ params }) => {
        const { open: _, ...balance } = await readBalance(deps.redis, deps.scripts.shards, params.user_id);
        return { user_id: params.user_id, ...balance };
      },
      {
        params,
        query,
        detail: documented(
          'accounts',
          "An account's balance",
          {
            200: {
              about: 'the balance; zeros for an unknown account',
              schema: Balance,
              example: { user_id: '123', available: 121376, held: 0, posted: 2080, topped_up: 123456 },
            },
          },
          ['invalid_request', 'unavailable'],
        ),
      },
    )
    .get(
      '/audit/:user_id',
      async ({ params }) => {
        const [balance, totals] = await Promise.all([
          readBalance(deps.redis, deps.scripts.shards, params.user_id),
          totalsOf(params.user_id),
        ]);
        return auditOf(params.user_id, balance, totals);
      },
      {
        params,
        query,
        detail: documented(
          'accounts',
          'Do the books balance?',
          {
            200: {
              about: 'Redis beside PostgreSQL',
              schema: Audit,
              example: {
                user_id: '123',
                redis: { topped_up: 123456, available: 121126, held: 1250, posted: 1080, open_holds: 1 },
                postgres: { topped_up: 123456, posted: 1080 },
                lag: { topped_up: 0, posted: 0, records: 0, read_until: '2026-11-22T08:33:00.000Z' },
                balanced: true,
              },
            },
          },
          ['invalid_request', 'unavailable'],
          'In Redis, top-ups = available + held + posted at any instant. PostgreSQL keeps its own account from `billing-ledger` and from the settlements; `lag` says how far it is behind, and both are equal once drained. `postgres` is null while the report does not answer.',
        ),
      },
    );
}
