/** The closed list of error codes, and what each means on HTTP. */

export type ErrorCode =
  | 'invalid_request'
  | 'malformed_json'
  | 'not_found'
  | 'method_not_allowed'
  | 'no_route'
  | 'insufficient_balance'
  | 'unauthorized'
  | 'forbidden'
  | 'idempotency_conflict'
  | 'payload_too_large'
  | 'unsupported_media_type'
  | 'rate_limited'
  | 'unavailable'
  | 'outcome_unknown'
  | 'internal';

type Meaning = { status: number; title: string; retry: boolean };

export const ERRORS: Readonly<Record<ErrorCode, Meaning>> = {
  invalid_request: { status: 422, title: 'The request does not fit', retry: false },
  malformed_json: { status: 400, title: 'The body is not JSON in UTF-8', retry: false },
  not_found: { status: 404, title: 'There is nothing here', retry: false },
  method_not_allowed: { status: 405, title: 'This path has no such method', retry: false },
  no_route: { status: 422, title: 'No operator carries this number', retry: false },
  insufficient_balance: { status: 402, title: 'The balance does not cover the price', retry: false },
  unauthorized: { status: 401, title: 'A valid key is needed', retry: false },
  forbidden: { status: 403, title: 'This key may not do that', retry: false },
  idempotency_conflict: { status: 409, title: 'This Idempotency-Key was used with another request', retry: false },
  payload_too_large: { status: 413, title: 'The body is too large', retry: false },
  unsupported_media_type: { status: 415, title: 'The body must be application/json', retry: false },
  rate_limited: { status: 429, title: 'Too many requests', retry: true },
  unavailable: { status: 503, title: 'Not possible at the moment; nothing was done', retry: true },
  outcome_unknown: { status: 503, title: 'It may or may not have been done', retry: true },
  internal: { status: 500, title: 'A fault of ours', retry: false },
};

export const ERROR_CODES = Object.keys(ERRORS) as ErrorCode[];

export type FieldError = { field: string; detail: string };

/** The one error class. `detail` is public and never repeats the input; the cause is for the log alone. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly fields: readonly FieldError[];
  /** Members that join the problem document, such as message_id. */
  readonly extra: Readonly<Record<string, string | number>>;
  /** When a repetition may help, whole seconds; for the codes that are worth one. */
  readonly retryAfterS: number;
  constructor(
    code: ErrorCode,
    detail: string,
    options: {
      fields?: FieldError[];
      extra?: Record<string, string | number>;
      retryAfterS?: number;
      cause?: unknown;
    } = {},
  ) {
    super(detail, { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.fields = options.fields ?? [];
    this.extra = options.extra ?? {};
    this.retryAfterS = options.retryAfterS ?? 1;
  }
}

/** Total: whatever was thrown becomes an AppError; what is not ours is `internal` and says nothing in public. */
export function toAppError(thrown: unknown): AppError {
  return thrown instanceof AppError
    ? thrown
    : new AppError('internal', 'Something failed here; the log knows it by the request id.', { cause: thrown });
}

export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ErrorCode;
  request_id: string;
  errors?: FieldError[];
} & Record<string, unknown>;

/** RFC 9457. The type is a relative reference into docs/FAILURE_MODES.md. */
export function toProblem(error: AppError, requestId: string): Problem {
  const { status, title } = ERRORS[error.code];
  return {
    type: `/problems/${error.code}`,
    title,
    status,
    detail: error.message,
    code: error.code,
    request_id: requestId,
    ...error.extra,
    ...(error.fields.length > 0 ? { errors: [...error.fields] } : {}),
  };
}
