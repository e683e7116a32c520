/** Requests as a client makes them, with the answer read whole. */

export type Answer<T = unknown> = { status: number; headers: Headers; text: string; json: T };

export type Ask = {
  json?: unknown;
  /** Sent as it is; needs a content type among the headers where one is wanted. */
  body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  headers?: Record<string, string>;
  timeoutMs?: number;
};

/** Throws only when there was no answer at all. `json` is undefined where the body is not JSON. */
export async function ask<T = unknown>(
  method: string,
  url: string,
  { json, body, headers = {}, timeoutMs = 15_000 }: Ask = {},
): Promise<Answer<T>> {
  const sent = json === undefined ? body : JSON.stringify(json);
  const response = await fetch(url, {
    method,
    headers: json === undefined ? headers : { 'content-type': 'application/json', ...headers },
    ...(sent === undefined ? {} : { body: sent }),
    signal: AbortSignal.timeout(timeoutMs),
  });
  const text = await response.text();
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  return { status: response.status, headers: response.headers, text, json: parsed as T };
}
