/** A request's JSON body, read strictly. */
import { AppError } from './error.ts';

/** The largest body in bytes; a batch of 1,000 texts of ten pages fits. */
export const BODY_MAX_BYTES = 4 * 1024 * 1024;

const JSON_TYPE = /^application\/json\s*(;|$)/i;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Reads a JSON body strictly: its size, its media type, UTF-8 without replacement, JSON. Throws an AppError. */
export async function readJson(request: Request): Promise<unknown> {
  const length = request.headers.get('content-length');
  if (Number(length ?? 0) > BODY_MAX_BYTES) throw tooLarge();
  if (!JSON_TYPE.test(request.headers.get('content-type') ?? ''))
    throw new AppError('unsupported_media_type', 'Send the body as application/json.');
  const bytes = await readBytes(request, length !== null);
  try {
    return parseBody(utf8.decode(bytes));
  } catch (thrown) {
    if (thrown instanceof AppError) throw thrown;
    throw new AppError('malformed_json', 'The body must be valid JSON in UTF-8.', { cause: thrown });
  }
}

const tooLarge = (): AppError => new AppError('payload_too_large', `A body may have at most ${BODY_MAX_BYTES} bytes.`);

/** A body of no declared length is read piece by piece, so that one without an end is left where it passes the bound. */
async function readBytes(request: Request, declared: boolean): Promise<Uint8Array> {
  if (declared || request.body === null) return new Uint8Array(await request.arrayBuffer());
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of request.body as unknown as AsyncIterable<Uint8Array>) {
    length += piece.byteLength;
    if (length > BODY_MAX_BYTES) throw tooLarge();
    pieces.push(piece);
  }
  return Buffer.concat(pieces, length);
}

/** A copy of an object with a field of this name has another prototype: its fields would pass the schema and then be gone. */
const PROTO = '__proto__';
const PERHAPS_PROTO = /__proto__|\\u005f/i;

function parseBody(text: string): unknown {
  if (!PERHAPS_PROTO.test(text)) return JSON.parse(text);
  return JSON.parse(text, (name, value) => {
    if (name !== PROTO) return value;
    throw new AppError('invalid_request', 'The request does not fit its schema.', {
      fields: [{ field: 'request', detail: 'has a field that is not known' }],
    });
  });
}

/** Spread into each route that takes a body: our strict reader reads it, and the documentation says application/json. */
export const jsonBody = {
  parse: [({ request }: { request: Request }) => readJson(request), 'application/json' as const],
};
