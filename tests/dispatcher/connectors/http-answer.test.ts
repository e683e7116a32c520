import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { createAnswerReader } from '../../../dispatcher/connectors/http-answer.ts';

const head = 'HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: application/json\r\n';
const body = '{"id":"شناسه-1"}';
const bytes = Buffer.from(body);
const chunked = Buffer.concat([
  Buffer.from(`${head}transfer-encoding: chunked\r\n\r\n4\r\n`),
  bytes.subarray(0, 4),
  Buffer.from(`\r\n${(bytes.length - 4).toString(16)}\r\n`),
  bytes.subarray(4),
  Buffer.from('\r\n0\r\n\r\n'),
]);
const lengthed = Buffer.concat([Buffer.from(`${head}Content-Length: ${bytes.length}\r\n\r\n`), bytes]);

test.each([
  ['chunked', chunked],
  ['with a length', lengthed],
])('an answer %s is the same however its bytes are cut, letters of two bytes included', (_, stream) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (cuts) => {
      const reader = createAnswerReader('POST');
      let state: string = 'more';
      for (let at = 0, turn = 0; at < stream.length; turn += 1) {
        expect(state).toBe('more');
        const cut = cuts[turn % cuts.length] as number;
        state = reader.push(stream.subarray(at, at + cut));
        at += cut;
      }
      expect(state).toBe('done');
      expect(reader.answer).toMatchObject({ status: 200, body, reusable: true });
    }),
  );
});

test.each([
  ['two lengths that differ', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
  ['a length that is no number', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
  ['an encoding we did not ask for', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n'],
  ['a chunk without a size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
  ['another protocol', 'HTTP/1.1 101 Switching\r\n\r\n'],
])('%s is malformed', (_, text) => {
  expect(createAnswerReader('POST').push(Buffer.from(text))).toBe('malformed');
});

test('an answer to HEAD, a 204 and a 304 end with their heads', () => {
  for (const [method, status] of [
    ['HEAD', 200],
    ['POST', 204],
    ['POST', 304],
  ] as const) {
    const reader = createAnswerReader(method);
    expect(reader.push(Buffer.from(`HTTP/1.1 ${status} X\r\nContent-Length: 5\r\n\r\n`))).toBe('done');
    expect(reader.answer).toMatchObject({ status, body: '' });
  }
});

test('any bytes are read or refused, never thrown at, and what is kept is bounded', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc
      .constantFrom(
        'HTTP/1.1 200 OK',
        '\r\n',
        '\r\n\r\n',
        'Content-Length: 3',
        'Transfer-Encoding: chunked',
        '5\r\n',
        '0\r\n\r\n',
        'ffffffff\r\n',
      )
      .map((text) => new Uint8Array(Buffer.from(text))),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const reader = createAnswerReader('POST');
      for (const bytes of pieces) if (reader.push(Buffer.from(bytes)) !== 'more') return;
      reader.end();
    }),
    { numRuns: 1_000 },
  );
});
