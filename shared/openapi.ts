/** What every door's API documentation has: the fields that all know, and a route's answers and refusals with examples. */
import { type SchemaOptions, type TLiteral, type TSchema, type TUnion, Type } from '@sinclair/typebox';
import type { DocumentDecoration } from 'elysia';
import { AppError, ERROR_CODES, ERRORS, type ErrorCode, toProblem } from './error.ts';

/** `user_id` as every door takes it. */
export const UserId = Type.String({
  pattern: '^[A-Za-z0-9_.-]{1,64}$',
  description: 'The account: 1 to 64 of A-Z a-z 0-9 _ . -',
  example: '123',
  error: 'must be 1 to 64 of A-Z a-z 0-9 _ . -',
});

export const IdempotencyKey = Type.String({
  pattern: '^[\\x21-\\x7e]{1,128}$',
  description: 'Repeats of one request carry one key: the first answer is given again for 24 hours.',
  error: 'must be 1 to 128 printable ASCII characters without blanks',
});

const KEY_HEADER = 'idempotency-key';
const KEY = new RegExp(IdempotencyKey.pattern as string);

/** Joins a route's documentation where it calls idempotencyKeyOf. */
export const keyParameter = { parameters: [{ name: KEY_HEADER, in: 'header' as const, schema: IdempotencyKey }] };

/**
 * A request's Idempotency-Key, '' where it has none. Throws `invalid_request`. For the hot path: a schema of the headers would
 * have them all copied for this one.
 */
export function idempotencyKeyOf(request: Request): string {
  const key = request.headers.get(KEY_HEADER);
  if (key === null || KEY.test(key)) return key ?? '';
  throw new AppError('invalid_request', 'The request does not fit its schema.', {
    fields: [{ field: KEY_HEADER, detail: IdempotencyKey.error as string }],
  });
}

export const Rials = (about: string): TSchema => Type.Integer({ description: `${about}, integer Rials` });

/** One of these words: checked as a union, shown as a list to choose from. */
export const oneOf = <T extends string>(words: readonly T[], options: SchemaOptions = {}): TUnion<TLiteral<T>[]> =>
  Type.Union(
    words.map((word) => Type.Literal(word)),
    { type: 'string', enum: [...words], ...options },
  );

/** The body of /health/ready. */
export const Ready = Type.Object({
  status: oneOf(['ready', 'unready']),
  checks: Type.Record(Type.String(), Type.Boolean()),
});

const ProblemSchema = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  code: oneOf(ERROR_CODES),
  request_id: Type.String(),
  errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), detail: Type.String() }))),
});

type DocumentedAnswer = {
  about: string;
  /** None: the answer has no body. */
  schema?: TSchema;
  example?: unknown;
  /** Other media types of the same answer, with their schemas. */
  others?: Readonly<Record<string, TSchema>>;
};

/** What any call may be refused with; health asks for no key and stands on its own. */
const ALWAYS: readonly ErrorCode[] = ['invalid_request', 'unauthorized', 'forbidden', 'unavailable', 'internal'];
const ALWAYS_OPEN: readonly ErrorCode[] = ['invalid_request', 'internal'];

const textHeader = (description: string) => ({ description, required: true, schema: { type: 'string' } });

/** The headers that a refusal of this status has. */
function headersOf(code: ErrorCode): Record<string, unknown> {
  return {
    'X-Request-Id': textHeader('names this request in the logs'),
    ...(ERRORS[code].retry
      ? { 'Retry-After': { description: 'seconds', required: true, schema: { type: 'integer', minimum: 1 } } }
      : {}),
    ...(code === 'unauthorized' ? { 'WWW-Authenticate': textHeader('how a key is shown') } : {}),
  };
}

/**
 * A route's documentation: its answers with examples, and the codes it may refuse with. Answers are documented and tested,
 * not validated on each request: that would cost the hot path for nothing.
 */
export function documented(
  tag: string,
  summary: string,
  answers: Record<number, DocumentedAnswer>,
  codes: readonly ErrorCode[] = [],
  description?: string,
): DocumentDecoration {
  const responses: Record<string, unknown> = {};
  for (const [status, { about, schema, example, others = {} }] of Object.entries(answers)) {
    const json = { schema, ...(example === undefined ? {} : { example }) };
    const rest = Object.entries(others).map(([mediaType, other]) => [mediaType, { schema: other }] as const);
    responses[status] = {
      description: about,
      ...(schema === undefined ? {} : { content: { 'application/json': json, ...Object.fromEntries(rest) } }),
    };
  }
  for (const code of new Set<ErrorCode>([...codes, ...(tag === 'health' ? ALWAYS_OPEN : ALWAYS)])) {
    const { status, title } = ERRORS[code];
    const known = responses[status] as { description: string } | undefined;
    if (known) known.description += `; \`${code}\`: ${title}`;
    else
      responses[status] = {
        description: `\`${code}\`: ${title}`,
        headers: headersOf(code),
        content: {
          'application/problem+json': {
            schema: ProblemSchema,
            example: toProblem(new AppError(code, title), '0193a5c8-7c11-7d3e-9f00-5a1b2c3d4e5f'),
          },
        },
      };
  }
  const open = tag === 'health' ? { security: [] } : {};
  return { summary, tags: [tag], responses, ...open, ...(description ? { description } : {}) } as DocumentDecoration;
}
