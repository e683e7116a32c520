import { expect, test } from 'bun:test';
import { Type } from '@sinclair/typebox';
import { jsonBody } from '../../shared/body.ts';
import { AppError } from '../../shared/error.ts';
import { createDoor } from '../../shared/http.ts';
import { createLog, type LogLevel } from '../../shared/log.ts';
import { createMetrics } from '../../shared/metrics.ts';

const ID = '0193a5c8-7c11-7d3e-9f00-5a1b2c3d4e5f';
const REFUSALS = {
  doubt: new AppError('outcome_unknown', 'Perhaps.', { extra: { message_id: ID }, cause: new Error('it hangs') }),
  room: new AppError('unavailable', 'No room.'),
  fields: new AppError('invalid_request', 'No.', { fields: [{ field: 'phone', detail: 'is wrong' }] }),
  fault: new TypeError('a fault of ours'),
};

const doorAt = (level: LogLevel, write: (line: string) => void) =>
  createDoor({
    service: 'test',
    title: 'test',
    description: 'test',
    log: createLog('test', level, write),
    metrics: createMetrics('test'),
    health: () => ({ ready: true, checks: {} }),
  });

/** What a door of this level has in its log after one request of each kind. */
async function linesAt(level: LogLevel): Promise<Record<string, unknown>[]> {
  const lines: Record<string, unknown>[] = [];
  const door = doorAt(level, (line) => void lines.push(JSON.parse(line))).get('/:what', ({ params }) => {
    throw REFUSALS[params.what as keyof typeof REFUSALS];
  });
  for (const what of Object.keys(REFUSALS))
    await door.handle(new Request(`http://localhost/${what}`, { headers: { 'x-request-id': what } }));
  return lines.map(({ time: _, service: __, ...line }) => line);
}

const DOUBT = {
  level: 'warn',
  event: 'outcome_unknown',
  request_id: 'doubt',
  message_id: ID,
  error: 'AppError: Perhaps.',
  cause: 'Error: it hangs',
};
const FAULT = {
  level: 'error',
  event: 'request_failed',
  request_id: 'fault',
  error: 'TypeError: a fault of ours',
};

test('what may have been done and what we failed at is in the log by its ids, and no line is written for a refusal', async () => {
  expect(await linesAt('info')).toEqual([DOUBT, FAULT]);
});

test('at debug each refusal is in the log with its code', async () => {
  const refused = (request_id: string, code: string) => ({
    level: 'debug',
    event: 'request_refused',
    request_id,
    code,
  });
  expect(await linesAt('debug')).toEqual([
    DOUBT,
    refused('room', 'unavailable'),
    refused('fields', 'invalid_request'),
    FAULT,
  ]);
});

test('a body of a known length is never made a stream', async () => {
  const door = doorAt('error', () => undefined).post('/take', ({ body }) => ({ took: body.text.length }), {
    ...jsonBody,
    body: Type.Object({ text: Type.String() }),
  });
  const text = JSON.stringify({ text: 'hello' });
  const request = new Request('http://localhost/take', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': String(text.length) },
    body: text,
  });
  let asked = 0;
  Object.defineProperty(request, 'body', { get: () => void asked++ });
  const response = await door.handle(request);
  expect(await response.json()).toEqual({ took: 5 });
  expect(asked).toBe(0);
});
