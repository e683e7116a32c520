/**
 * Under a flood most requests are refused, and what a refusal costs is missing for those that are taken: while there is no room for
 * normal messages a send is refused before it is parsed, checked or routed. Express may have room still: what could be a one-time
 * password goes on.
 */
import { BODY_MAX_BYTES } from '../shared/body.ts';
import { AppError } from '../shared/error.ts';
import { type First, preparedProblem, problemResponse, requestIdOf } from '../shared/http.ts';
import { type Gates, noRoom } from './gate.ts';

const SEND = /^https?:\/\/[^/]+\/send$/;
/** As it must stand in the body of every express message, whatever else does. Escapes are for those who write no plain JSON. */
const EXPRESS = Buffer.from('express');
const ESCAPE = Buffer.from('\\u');

const brokenOff = (): AppError => new AppError('malformed_json', 'The body ended before it was whole.');

/** @param refused counts */
export function refuseEarly({ normal }: Gates, refused: { inc(): void }): First {
  const refusal = preparedProblem(noRoom());
  const look = async (request: Request): Promise<Response | Request> => {
    const bytes = await request.arrayBuffer().then(Buffer.from, () => null);
    if (bytes === null) return problemResponse(brokenOff(), requestIdOf(request));
    if (bytes.includes(EXPRESS) || bytes.includes(ESCAPE))
      return new Request(request.url, { method: 'POST', headers: request.headers, body: bytes });
    refused.inc();
    return refusal(requestIdOf(request));
  };
  return (request) => {
    if (!normal.full || request.method !== 'POST' || !SEND.test(request.url)) return null;
    const length = Number(request.headers.get('content-length') ?? Number.NaN);
    // What is too large, or of no known length, is the door's business.
    return length <= BODY_MAX_BYTES ? look(request) : null;
  };
}
