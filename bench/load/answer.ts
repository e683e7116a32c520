/** Reading the answers to our own requests, as cheaply as may be: the status, and where the answer ends. */

const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;
const BLANK_LINE = Buffer.from('\r\n\r\n');

export type Answer = { status: number; body: Buffer };

/**
 * The first answer in these bytes, null while it is not whole. Throws when it has no Content-Length: the end of such an answer
 * cannot be told cheaply, and none of the servers measured sends one.
 */
export function readAnswer(bytes: Buffer): Answer | null {
  const headEnd = bytes.indexOf(BLANK_LINE);
  if (headEnd < 0) return null;
  const length = CONTENT_LENGTH.exec(bytes.toString('latin1', 0, headEnd));
  if (length === null) throw new Error('an answer without Content-Length');
  const from = headEnd + BLANK_LINE.length;
  const to = from + Number(length[1]);
  if (bytes.length < to) return null;
  return { status: Number(bytes.toString('latin1', 9, 12)), body: bytes.subarray(from, to) };
}
