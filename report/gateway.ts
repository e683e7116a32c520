/** The gateway as a client: what is replayed goes through its door like any message. */
import type { Fetch } from '../shared/credentials.ts';
import { AppError, ERROR_CODES, type ErrorCode } from '../shared/error.ts';
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
    const code = ERROR_CODES.includes(answer.code as ErrorCode) ? (answer.code as ErrorCode) : 'unavailable';
    const detail = typeof answer.detail === 'string' ? answer.detail : 'The gateway refused it.';
    throw new AppError(code, `The gateway refused it: ${detail}`);
  };
}
