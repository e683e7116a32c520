/** Our codec beside proto-loader's: what the one writes the other reads, field by field. */
import { expect, test } from 'bun:test';
import { loadSync, type MethodDefinition } from '@grpc/proto-loader';
import fc from 'fast-check';
import { billingCodecs, PROTO_FILE, SERVICE } from '../../shared/billing-codec.ts';
import { DirectWriter } from '../../shared/direct-writer.ts';

const codecs = billingCodecs();
const theirs = loadSync(PROTO_FILE, { keepCase: true, longs: Number, enums: Number, defaults: true, arrays: true });
const methods = theirs[SERVICE] as unknown as Record<string, MethodDefinition<object, object>>;

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const uint32 = fc.nat();
const int64 = fc.maxSafeNat();
const bytes = fc.uint8Array({ maxLength: 40 }).map((all) => Buffer.from(all));
const list = <T>(one: fc.Arbitrary<T>) => fc.array(one, { maxLength: 4 });
const ref = fc.record({ user_id: text, message_id: text });
const published = fc.record({ user_id: text, message_id: text, version: uint32 });
const outcome = { version: uint32, outcome: text, retry: text, retry_number: uint32 };

const MESSAGES: Record<string, [request: fc.Arbitrary<object>, reply: fc.Arbitrary<object>]> = {
  Hold: [
    fc.record({
      groups: list(
        fc.record({
          ...{ user_id: text, idempotency_key: text, body_hash: text, batch_id: text, refused: text },
          items: list(fc.record({ message_id: text, price: int64, valid_until: int64, event: bytes, answer: text })),
        }),
      ),
      produced: list(ref),
    }),
    fc.record({
      groups: list(
        fc.record({
          ...{ outcome: fc.nat(3), codes: list(fc.nat(2)), answers: list(text) },
          ...{ batch_id: text, open: uint32, refused: text },
        }),
      ),
    }),
  ],
  Claim: [
    fc.record({
      ...{ owner: text, ttl_ms: uint32, published: list(published) },
      items: list(
        fc.record({
          ...{ user_id: text, message_id: text, attempt: uint32, operator: text },
          ...{ resend_unknown: fc.boolean(), unknown_wait_ms: uint32, claim: uint32 },
        }),
      ),
    }),
    fc.record({ results: list(fc.record({ code: fc.nat(5), not_before: int64, ...outcome })) }),
  ],
  Settle: [
    fc.record({
      ...{ owner: text, published: list(published) },
      items: list(
        fc.record({
          ...{ user_id: text, message_id: text, attempt: uint32, outcome: fc.nat(4), operator: text },
          ...{ operator_ids: list(text), amount: int64, error: text, flags: list(text), claim: uint32 },
        }),
      ),
    }),
    fc.record({ results: list(fc.record({ applied: fc.boolean(), ...outcome })) }),
  ],
  Relay: [
    fc.record({ owner: text, max: uint32, after: int64, by: int64 }),
    fc.record({ events: list(text), reached: int64, more: fc.boolean() }),
  ],
  GetBalance: [
    fc.record({ user_id: text }),
    fc.record({ available: int64, held: int64, posted: int64, topped_up: int64, open_holds: uint32 }),
  ],
};

test('every method of the contract is asked for here', () => {
  expect(Object.keys(MESSAGES).sort()).toEqual(Object.keys(methods).sort());
  expect([...codecs.keys()].sort()).toEqual(Object.keys(methods).sort());
});

test.each(Object.keys(MESSAGES))('%s: what we write proto-loader reads, and the other way round', (name) => {
  const ours = codecs.get(name) as NonNullable<ReturnType<typeof codecs.get>>;
  const { requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } = methods[name] as NonNullable<
    (typeof methods)[string]
  >;
  const [request, reply] = MESSAGES[name] as (typeof MESSAGES)[string];
  fc.assert(
    fc.property(request, reply, (asked, told) => {
      expect(requestDeserialize(ours.requestSerialize(asked))).toEqual(asked);
      expect(ours.requestDeserialize(requestSerialize(asked))).toEqual(asked);
      expect(responseDeserialize(ours.responseSerialize(told))).toEqual(told);
      expect(ours.responseDeserialize(responseSerialize(told))).toEqual(told);
    }),
    { numRuns: 200 },
  );
});

test('texts and messages of every length are written as protobufjs writes them, whatever was written before', () => {
  const hold = codecs.get('Hold') as NonNullable<ReturnType<typeof codecs.get>>;
  const group = { idempotency_key: '', body_hash: '', batch_id: '', refused: '' };
  const requestOf = (text: string) => ({
    groups: [
      {
        ...group,
        user_id: text,
        items: [{ message_id: 'i', price: 128, valid_until: 2 ** 53 - 1, event: Buffer.from(text), answer: text }],
      },
    ],
    produced: [],
  });
  // About a length's second and third byte, and past the buffer that there is at first.
  for (const length of [0, 1, 41, 42, 43, 126, 127, 128, 129, 16_383, 16_384, 40_000, 400_000, 2_000_000, 5])
    for (const letter of ['a', 'ک', '😀']) {
      const request = requestOf(letter.repeat(Math.ceil(length / letter.length)));
      const bytes = hold.requestSerialize(request);
      expect(methods.Hold?.requestDeserialize(bytes)).toEqual(request);
      expect(methods.Hold?.requestSerialize(request).equals(bytes)).toBe(true);
    }
});

test('what the other end would refuse is not sent, and spoils no message after it', () => {
  const balance = codecs.get('GetBalance') as NonNullable<ReturnType<typeof codecs.get>>;
  const amounts = { held: 0, posted: 0, topped_up: 0, open_holds: 0 };
  for (const available of [-1, 2 ** 53, 0.5, Number.NaN])
    expect(() => balance.responseSerialize({ ...amounts, available })).toThrow();
  expect(balanceOf(balance.responseSerialize({ ...amounts, available: 7 })).available).toBe(7);
});

test('a type that the contract does not have is refused, not left out', () => {
  const writer = new DirectWriter().begin();
  for (const write of [() => writer.double(1), () => writer.fixed32(1), () => writer.uint64(1), () => writer.float(1)])
    expect(write).toThrow();
  expect(() => writer.int32(-1)).toThrow();
});

/** One field of wire type 0 (varint), by its number. */
const varint = (field: number, ...rest: number[]): Buffer => Buffer.from([field << 3, ...rest]);
const balanceOf = (message: Buffer): Record<string, unknown> =>
  codecs.get('GetBalance')?.responseDeserialize(message) as Record<string, unknown>;
const SEVEN_FULL_BYTES = Array<number>(7).fill(0xff);

test('what was not sent has its default, as numbers, texts, bytes and lists', () => {
  const { available, held, posted, topped_up, open_holds } = balanceOf(Buffer.alloc(0));
  expect([available, held, posted, topped_up, open_holds]).toEqual([0, 0, 0, 0, 0]);
  // A group with one item, both empty.
  const request = codecs.get('Hold')?.requestDeserialize(Buffer.from([0x0a, 2, 0x2a, 0])) as {
    groups: { user_id: string; items: { price: number; event: Buffer; answer: string }[] }[];
    produced: unknown[];
  };
  const group = request.groups[0];
  const item = group?.items[0];
  expect([request.produced, group?.user_id, item?.price, item?.answer]).toEqual([[], '', 0, '']);
  expect(Buffer.isBuffer(item?.event) && item.event.length).toBe(0);
});

test('an int64 is exact, or the message is refused: never a rounded number', () => {
  expect(balanceOf(varint(1, ...SEVEN_FULL_BYTES, 0x0f)).available).toBe(Number.MAX_SAFE_INTEGER);
  const beyond: [string, number[]][] = [
    ['two to the 53rd', [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]],
    ['minus one', [...SEVEN_FULL_BYTES, 0xff, 0xff, 0x01]],
    ['without an end', [...SEVEN_FULL_BYTES, 0xff, 0xff, 0xff, 0xff]],
    ['cut off', [0x80]],
  ];
  for (const [what, wrong] of beyond) expect(() => balanceOf(varint(1, ...wrong)), what).toThrow();
});
