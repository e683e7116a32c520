/** report's HTTP door: every route, its schema and its documentation. */
import { Type } from '@sinclair/typebox';
import { AppError } from '../shared/error.ts';
import { createDoor, type DoorOptions } from '../shared/http.ts';
import { documented, UserId } from '../shared/openapi.ts';
import * as answers from './answers.ts';
import { discardDeadLetter, listDeadLetters, type Resend, replayDeadLetter } from './dead-letters.ts';
import { exportCsv } from './export.ts';
import { ask } from './faults.ts';
import {
  Cursor,
  filterFields,
  Limit,
  limitOf,
  MessageId,
  OperatorName,
  range,
  readFilter,
  readRange,
} from './filter.ts';
import { readPage } from './list.ts';
import { readMessage } from './message.ts';
import { readStatement } from './statement.ts';
import type { Store } from './store.ts';
import { readSummary, readTotals } from './totals.ts';
import type { Watermark } from './watermark.ts';

const closed = { additionalProperties: false } as const;
const account = Type.Object({ user_id: UserId });
const message = Type.Object({ id: MessageId });
const paging = { limit: Limit, cursor: Cursor };

export type HttpDeps = { store: Store; watermark: Watermark; resend: Resend };

export function reportDoor(options: DoorOptions, deps: HttpDeps) {
  return deadLetterRoutes(accountRoutes(createDoor(options), deps), deps);
}

function accountRoutes(door: ReturnType<typeof createDoor>, { store, watermark }: HttpDeps) {
  return door
    .get(
      '/report/:user_id',
      ({ params, query }) =>
        ask(async () => {
          const { format, limit, cursor, ...rest } = query;
          const filter = await readFilter(store, rest);
          if (format !== 'csv') return readPage(store, params.user_id, filter, limitOf(limit), cursor);
          if (limit !== undefined || cursor !== undefined) throw wholeReport(limit === undefined ? 'cursor' : 'limit');
          return exportCsv(store, params.user_id, filter);
        }),
      {
        params: account,
        query: Type.Object({ ...filterFields, ...paging, format: answers.Format }, closed),
        detail: documented(
          'reports',
          "An account's messages, newest first",
          {
            200: {
              about: 'a page, or with format=csv the whole filtered report',
              schema: answers.Page,
              example: answers.pageExample,
              others: { 'text/csv': Type.String() },
            },
          },
          ['invalid_request', 'unavailable'],
          'Filters narrow together. `counts` are of all pages, by status, under every filter but `status`; days past REPORT_RETENTION_DAYS are in neither, their sums are in the summary. With `format=csv` the whole filtered report is streamed as UTF-8 CSV that opens right in Excel; cells that a spreadsheet would compute or write otherwise begin with an apostrophe: phone numbers, and a text or reference that reads as a number or a day.',
        ),
      },
    )
    .get('/messages/:id', ({ params }) => ask(() => readMessage(store, params.id)), {
      params: message,
      detail: documented(
        'reports',
        'A message with its timeline',
        { 200: { about: 'the message', schema: answers.Message, example: answers.messageExample } },
        ['not_found', 'invalid_request', 'unavailable'],
      ),
    })
    .get(
      '/report/:user_id/summary',
      ({ params, query }) =>
        ask(async () => {
          const asked = await readRange(store, query);
          return readSummary(store, params.user_id, asked, limitOf(query.limit), query.cursor);
        }),
      {
        params: account,
        query: Type.Object({ ...range, ...paging }, closed),
        detail: documented(
          'reports',
          'Messages, pages and cost by day, operator and type',
          {
            200: {
              about: 'the newest days; limit counts days',
              schema: answers.Summary,
              example: answers.summaryExample,
            },
          },
          ['invalid_request', 'unavailable'],
          'Days are those of REPORT_TIME_ZONE and of when a message was accepted. Their sums outlive the messages.',
        ),
      },
    )
    .get(
      '/report/:user_id/statement',
      ({ params, query }) => ask(() => readStatement(store, params.user_id, limitOf(query.limit), query.cursor)),
      {
        params: account,
        query: Type.Object(paging, closed),
        detail: documented(
          'reports',
          'Top-ups, corrections and spending by day, with the balance after each',
          { 200: { about: 'a page, newest first', schema: answers.Statement, example: answers.statementExample } },
          ['invalid_request', 'unavailable'],
          'Spending is one line a day. `balance_after` is what top-ups and corrections left after spending: available and held together.',
        ),
      },
    )
    .get('/accounts/:user_id/totals', ({ params }) => ask(() => readTotals(store, watermark, params.user_id)), {
      params: account,
      detail: documented(
        'accounts',
        "PostgreSQL's own sums of an account, for the audit",
        {
          200: { about: 'the sums and how far Kafka was read', schema: answers.Totals, example: answers.totalsExample },
        },
        ['invalid_request', 'unavailable'],
        '`read_until`: everything that was published before this instant is counted; null while no such instant is known.',
      ),
    });
}

const wholeReport = (field: string): AppError =>
  new AppError('invalid_request', 'A CSV is the whole filtered report.', {
    fields: [{ field, detail: 'does not go with format=csv' }],
  });

function deadLetterRoutes<Door extends ReturnType<typeof accountRoutes>>(door: Door, { store, resend }: HttpDeps) {
  return door
    .get(
      '/dead-letters',
      ({ query: { limit, cursor, ...filter } }) => ask(() => listDeadLetters(store, filter, limitOf(limit), cursor)),
      {
        query: Type.Object(
          { user_id: Type.Optional(UserId), operator: Type.Optional(OperatorName), ...paging },
          closed,
        ),
        detail: documented(
          'dead letters',
          'Messages whose last retry failed, newest first',
          { 200: { about: 'a page', schema: answers.DeadLetters, example: answers.deadLettersExample } },
          ['invalid_request', 'unavailable'],
        ),
      },
    )
    .post(
      '/dead-letters/:id/replay',
      async ({ params, set }) => {
        const answer = await ask(() => replayDeadLetter(store, resend, params.id));
        set.status = 202;
        return answer;
      },
      {
        params: message,
        detail: documented(
          'dead letters',
          'Send it again, as a new message',
          {
            202: {
              about: 'the new message; a repeated call answers the first one',
              schema: answers.Replay,
              example: answers.replayExample,
            },
          },
          [
            'not_found',
            'invalid_request',
            'no_route',
            'insufficient_balance',
            'idempotency_conflict',
            'rate_limited',
            'unavailable',
            'outcome_unknown',
          ],
          'The new message has an id of its own, says `replay_of`, and is paid once and sent once, however often this is called. What the gateway refuses is refused alike, with its fields and its Retry-After; `outcome_unknown` carries the message_id.',
        ),
      },
    )
    .delete(
      '/dead-letters/:id',
      async ({ params }) => {
        await ask(() => discardDeadLetter(store, params.id));
        return new Response(null, { status: 204 });
      },
      {
        params: message,
        detail: documented(
          'dead letters',
          'Discard it',
          { 204: { about: 'it is listed no more; its message stays in the report' } },
          ['not_found', 'invalid_request', 'unavailable'],
        ),
      },
    );
}
