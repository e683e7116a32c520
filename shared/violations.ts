/** What a schema has against a request, and whatever else Elysia throws, as errors of ours. */
import { AppError, type FieldError, toAppError } from './error.ts';

type Violation = { path?: string; message?: string; schema?: { error?: unknown } };

/**
 * What a schema has against a value, at most ten fields with one sentence each.
 * @param whole stands for the value itself, where no field of it is named
 */
export function fieldErrorsOf(violations: Iterable<Violation>, whole: string): FieldError[] {
  const fields = new Map<string, string>();
  for (const { path = '', message, schema } of violations) {
    // The name of an unknown field is input: the place that has it is named instead.
    const unknownField = message === 'Unexpected property';
    const place = unknownField ? path.replace(/\/[^/]*$/, '') : path;
    const field = place.replace(/^\//, '').replaceAll('/', '.').slice(0, 100) || whole;
    if (fields.has(field)) continue;
    const said = typeof schema?.error === 'string' ? schema.error : (message ?? 'does not fit');
    fields.set(field, unknownField ? 'has a field that is not known' : said);
    if (fields.size === 10) break;
  }
  return [...fields].map(([field, detail]) => ({ field, detail }));
}

/** What Elysia throws becomes ours; no field of it that holds the input is used. */
export function fromElysia(code: string | number, error: unknown): AppError {
  if (code === 'NOT_FOUND') return new AppError('not_found', 'There is no such path.');
  if (code === 'PARSE') {
    const cause = (error as { cause?: unknown }).cause;
    return cause instanceof AppError ? cause : new AppError('malformed_json', 'The body must be valid JSON in UTF-8.');
  }
  if (code === 'VALIDATION') {
    const fields = fieldErrorsOf((error as { all?: Violation[] }).all ?? [], 'request');
    return new AppError('invalid_request', 'The request does not fit its schema.', { fields });
  }
  if (code === 'INVALID_COOKIE_SIGNATURE' || code === 'INVALID_FILE_TYPE')
    return new AppError('invalid_request', 'The request does not fit.');
  return toAppError(error);
}
