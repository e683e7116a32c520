/** The gateway as a client: what is replayed goes through its door like any message. */
import type { Fetch } from '../shared/credentials.ts';
import { AppError, ERROR_CODES, type ErrorCode, type FieldError } from '../shared/error.ts';
import type { Resend } from './dead-letters.ts';

const ANSWER_WITHIN_MS = 10_000;

/** Hands the gateway's refusals on with their own codes; when it does not answer, a retry with the same key is safe. */
export function resendThrough(gatewayUrl: string, call: Fetch = fetch): Resend {
  const url = new URL('/send', gatewayUrl);
  return async (body, key) => {
    let response: Response;
    let answer: Record<string, unknown>;
    try {
      response = await call(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      });
      answer = (await response.json()) as Record<string, unknown>;
    } catch (thrown) {
      const detail = 'The gateway does not answer; ask again, it will be sent once.';
      throw new AppError('unavailable', detail, { cause: thrown });
    }
    if (response.ok && typeof answer.message_id === 'string') return answer as Awaited<ReturnType<Resend>>;
    throw refusalOf(answer, response.headers.get('retry-after'));
  };
}

/** A refusal with all that the gateway said: the fields that are at fault, the id to look for, when to come back. */
function refusalOf({ code, detail, errors, message_id }: Record<string, unknown>, retryAfter: string | null): AppError {
  const known = ERROR_CODES.includes(code as ErrorCode) ? (code as ErrorCode) : 'unavailable';
  const retryAfterS = Number(retryAfter);
  return new AppError(known, `The gateway refused it: ${typeof detail === 'string' ? detail : 'it did not say why.'}`, {
    fields: Array.isArray(errors) ? errors.filter(isFieldError) : [],
    extra: typeof message_id === 'string' ? { message_id } : {},
    ...(Number.isSafeInteger(retryAfterS) && retryAfterS > 0 ? { retryAfterS } : {}),
  });
}

function isFieldError(value: unknown): value is FieldError {
  const { field, detail } = (value ?? {}) as Record<string, unknown>;
  return typeof field === 'string' && typeof detail === 'string';
}
