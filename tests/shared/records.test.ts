/** kafkajs' records as patches/kafkajs@2.2.4.patch writes and reads them: whatever is written is what is read. */
import { expect, test } from 'bun:test';
import { createRequire } from 'node:module';
import fc from 'fast-check';

const require = createRequire(import.meta.url);
const protocol = 'kafkajs/src/protocol';
type Written = { key?: string; value: string | null; timestampDelta: number; headers: Record<string, string> };
type Read = {
  key: Buffer | null;
  value: Buffer | null;
  offset: string;
  timestamp: string;
  headers: Record<string, Buffer>;
};
const encodeRecord = require(`${protocol}/recordBatch/record/v0`) as (
  record: Written & { offsetDelta: number },
) => object;
const { RecordBatch } = require(`${protocol}/recordBatch/v0`) as {
  RecordBatch(batch: object): Promise<{ buffer: Buffer }>;
};
const decodeBatch = require(`${protocol}/recordBatch/v0/decoder`) as (decoder: object) => Promise<{ records: Read[] }>;
const Decoder = require(`${protocol}/decoder`) as new (buffer: Buffer) => object;

const written: fc.Arbitrary<Written> = fc.record({
  key: fc.option(fc.string(), { nil: undefined }),
  value: fc.option(fc.string({ unit: 'grapheme', maxLength: 2_000 })),
  // On both sides of what four bytes hold, and back in time.
  timestampDelta: fc.oneof(fc.nat(100), fc.integer(), fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
  // kafkajs itself adds the value of a name that every object knows (`constructor`) to what stands there; ours write no headers.
  headers: fc.dictionary(
    fc.stringMatching(/^[a-z0-9-]{1,20}$/).filter((name) => !(name in {})),
    fc.string(),
    { maxKeys: 2 },
  ),
});

test('a batch of records is read as it was written, whatever its sizes, offsets and times', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(written, { minLength: 1, maxLength: 20 }),
      fc.oneof(
        fc.nat(),
        fc.maxSafeInteger().filter((n) => n >= 0 && n < Number.MAX_SAFE_INTEGER - 100),
      ),
      async (batch, firstOffset) => {
        const firstTimestamp = 1_800_000_000_000;
        const records = batch.map((record, offsetDelta) => encodeRecord({ ...record, offsetDelta }));
        const { buffer } = await RecordBatch({ firstOffset, firstTimestamp, maxTimestamp: firstTimestamp, records });
        const read = await decodeBatch(new Decoder(buffer));
        expect(
          read.records.map(({ key, value, offset, timestamp, headers }) => ({
            key: key?.toString(),
            value: value === null ? null : value.toString(),
            offset,
            timestamp,
            headers: Object.fromEntries(Object.entries(headers).map(([name, one]) => [name, one.toString()])),
          })),
        ).toEqual(
          batch.map(({ key, value, timestampDelta, headers }, i) => ({
            key,
            value: value === null ? null : value.toWellFormed(),
            offset: String(BigInt(firstOffset) + BigInt(i)),
            timestamp: String(firstTimestamp + timestampDelta),
            headers: { ...headers },
          })),
        );
      },
    ),
  );
});
