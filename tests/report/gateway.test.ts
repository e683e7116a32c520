import { expect, test } from 'bun:test';
import { resendThrough } from '../../report/gateway.ts';
import type { Fetch } from '../../shared/credentials.ts';
import { AppError, ERRORS, type ErrorCode } from '../../shared/error.ts';
import { problemResponse } from '../../shared/http.ts';

const ID = '0193a5c8-7c11-7d3e-9f00-5a1b2c3d4e5f';
const BODY = { phone: '+989120000001', text: 'a', user_id: 'u', type: 'normal', replay_of: ID };

/** What is told of a send that the gateway answers so. */
async function toldOf(response: Response): Promise<AppError> {
  const call: Fetch = async () => response;
  return resendThrough('http://gateway', call)(BODY, 'k').then(
    () => expect.unreachable(),
    (thrown) => thrown as AppError,
  );
}

test.each<[ErrorCode, ConstructorParameters<typeof AppError>[2]]>([
  ['invalid_request', { fields: [{ field: 'sender', detail: 'is not a line number of this account' }] }],
  ['rate_limited', { retryAfterS: 17 }],
  ['unavailable', { retryAfterS: 3 }],
  ['outcome_unknown', { extra: { message_id: ID } }],
  ['idempotency_conflict', {}],
  ['no_route', {}],
])('%s of the gateway is told with all that the gateway said of it', async (code, options) => {
  const refusal = new AppError(code, 'Because.', options);
  const told = await toldOf(problemResponse(refusal, 'request'));
  expect(told.message).toBe('The gateway refused it: Because.');
  const { fields, extra, retryAfterS } = refusal;
  expect(told).toMatchObject({ code, fields, extra, retryAfterS });
});

test.each([
  [{ code: 'invalid_request', errors: 'none', message_id: 7 }, null],
  [
    { code: 'invalid_request', errors: [null, 1, { field: 'a' }, { field: 'a', detail: 2 }] },
    'Wed, 21 Oct 2026 07:28:00 GMT',
  ],
  [{ code: 'invalid_request', detail: {} }, '-5'],
])('of a refusal that is none of ours (%o) nothing odd is handed on', async (body, retryAfter) => {
  const headers = new Headers(retryAfter === null ? [] : [['retry-after', retryAfter]]);
  const told = await toldOf(Response.json(body, { status: ERRORS.invalid_request.status, headers }));
  expect(told).toMatchObject({ code: 'invalid_request', fields: [], extra: {}, retryAfterS: 1 });
});
