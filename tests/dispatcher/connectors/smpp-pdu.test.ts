import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import smpp from 'smpp';
import {
  createFramer,
  deliverSmResp,
  headerOnly,
  PDU_MAX_BYTES,
  readDeliverSm,
  readHeader,
  submitSmRespId,
  Tlv,
} from '../../../dispatcher/connectors/smpp-pdu.ts';

const RECEIPT = new smpp.PDU('deliver_sm', {
  sequence_number: 5,
  source_addr: '989121234567',
  destination_addr: '982000',
  esm_class: 4,
  short_message: Buffer.from('id:1 stat:DELIVRD'),
  receipted_message_id: 'abc_1',
  message_state: 2,
  user_message_reference: 513,
}).toBuffer();

describe('deliver_sm', () => {
  test('is read as an independent encoder wrote it, its text byte by byte', () => {
    const deliver = readDeliverSm(RECEIPT);
    expect(deliver).toMatchObject({ source: '989121234567', destination: '982000', esmClass: 4, dataCoding: 0 });
    expect(deliver?.message.toString('latin1')).toBe('id:1 stat:DELIVRD');
    expect(deliver?.tlvs.get(Tlv.receiptedMessageId)?.toString('latin1')).toBe('abc_1\0');
    expect([...(deliver?.tlvs.get(Tlv.userMessageReference) ?? [])]).toEqual([2, 1]);
  });

  test('message_payload stands in for an empty short_message', () => {
    const frame = new smpp.PDU('deliver_sm', {
      esm_class: 4,
      short_message: '',
      message_payload: Buffer.from('id:9 stat:DELIVRD'),
    }).toBuffer();
    expect(readDeliverSm(frame)?.message.toString('latin1')).toBe('id:9 stat:DELIVRD');
  });

  test('cut off anywhere in its mandatory fields it is null, and never a throw', () => {
    const mandatory = RECEIPT.length - 8 - 10 - 5 - 1;
    for (let length = 16; length < RECEIPT.length; length += 1) {
      const deliver = readDeliverSm(RECEIPT.subarray(0, length));
      if (length < mandatory - 6) expect(deliver).toBeNull();
    }
    expect(readDeliverSm(RECEIPT)).not.toBeNull();
  });

  test('of random bytes is read or refused, never thrown at', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        readDeliverSm(Buffer.concat([headerOnly(5, 0, 1), bytes]));
      }),
      { numRuns: 1_000 },
    );
  });
});

test('the answer to a receipt is what an independent decoder expects', () => {
  const pdu = new smpp.PDU(deliverSmResp(8, 77));
  expect([pdu.command, pdu.command_status, pdu.sequence_number, pdu.message_id]).toEqual([
    'deliver_sm_resp',
    8,
    77,
    '',
  ]);
});

test.each([
  ['with an id', new smpp.PDU('submit_sm_resp', { sequence_number: 1, message_id: 'mci-1' }).toBuffer(), 'mci-1'],
  ['without a body', headerOnly(0x8000_0004, 8, 1), ''],
  ['without its last zero', Buffer.concat([headerOnly(0x8000_0004, 0, 1), Buffer.from('mci-2')]), 'mci-2'],
])("the operator's id of an answer %s", (_, frame, id) => {
  expect(submitSmRespId(frame)).toBe(id);
});

describe('the stream', () => {
  test('PDUs come out whole and in order, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 16, max: 90 }), { minLength: 1, maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }),
        (lengths, cuts) => {
          const frames = lengths.map((length, at) => {
            const frame = Buffer.alloc(length, at);
            headerOnly(4, 0, at).copy(frame);
            frame.writeUInt32BE(length, 0);
            return frame;
          });
          const stream = Buffer.concat(frames);
          const framer = createFramer();
          const seen: Buffer[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn += 1) {
            const cut = cuts[turn % cuts.length] as number;
            expect(framer.push(stream.subarray(at, at + cut), (frame) => seen.push(Buffer.from(frame)))).toBe(true);
            at += cut;
          }
          expect(seen.map((frame) => frame.toString('hex'))).toEqual(frames.map((frame) => frame.toString('hex')));
          expect(seen.map((frame) => readHeader(frame).sequence)).toEqual(frames.map((_, at) => at));
        },
      ),
    );
  });

  test.each([0, 1, 4, 15, PDU_MAX_BYTES + 1, 0x4854_5450, 0xffff_ffff])('a length of %i ends it', (length) => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length, 0);
    expect(createFramer().push(head, () => expect.unreachable())).toBe(false);
  });
});
