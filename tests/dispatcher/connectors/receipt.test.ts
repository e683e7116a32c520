import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { normaliseId, readDate, readReceipt, receiptId, receiptTime } from '../../../dispatcher/connectors/receipt.ts';
import { type Deliver, Tlv } from '../../../dispatcher/connectors/smpp-pdu.ts';

const deliver = (text: string | Buffer, tlvs: [number, Buffer][] = [], over: Partial<Deliver> = {}): Deliver => ({
  source: '989121234567',
  destination: '982000',
  esmClass: 0x04,
  dataCoding: 0,
  message: typeof text === 'string' ? Buffer.from(text, 'latin1') : text,
  tlvs: new Map(tlvs),
  ...over,
});
const id = (text: string): [number, Buffer] => [Tlv.receiptedMessageId, Buffer.from(`${text}\0`)];
const state = (value: number): [number, Buffer] => [Tlv.messageState, Buffer.from([value])];
const FULL = 'id:a_1-B sub:001 dlvrd:001 submit date:2611221900 done date:2611221901 stat:DELIVRD err:000 text:hello';

describe('the text form', () => {
  test('is read whole', () => {
    expect(readReceipt(deliver(FULL))).toEqual({
      tlvId: '',
      textId: 'a_1-B',
      status: 'delivered',
      error: null,
      doneAt: Date.UTC(2026, 10, 22, 19, 1, 59),
      reference: null,
    });
  });

  test.each([
    ['in another order', 'stat:UNDELIV err:011 id:77', '77', 'undelivered', 'dlr_011'],
    ['in capitals, with blanks', 'ID: 77 STAT: undeliv ERR: 2', '77', 'undelivered', 'dlr_2'],
    ['with fields missing', 'id:77 stat:EXPIRED', '77', 'undelivered', null],
    ['with words written out', 'id:77 stat:Delivered', '77', 'delivered', null],
    ['on several lines', 'id:77\r\nstat:REJECTD\r\nerr:0A1', '77', 'undelivered', 'dlr_0a1'],
    ['with an empty field', 'id: stat:DELIVRD', '', 'delivered', null],
    ['without a state', 'id:77 sub:001', '77', null, null],
    ['with an error that is a sentence', 'id:77 stat:UNDELIV err:Absent<script>', '77', 'undelivered', null],
  ])('is read %s', (_, text, textId, status, error) => {
    expect(readReceipt(deliver(text))).toMatchObject({ textId, status, error } as object);
  });

  test("is not what the message's own words say", () => {
    const receipt = readReceipt(deliver('id:77 stat:UNDELIV err:001 Text:id:88 stat:DELIVRD err:000'));
    expect(receipt).toMatchObject({ textId: '77', status: 'undelivered', error: 'dlr_001' });
  });

  test('is also read in UCS-2 and behind a UDH', () => {
    const ucs2 = Buffer.from('id:77 stat:DELIVRD', 'utf16le').swap16();
    expect(readReceipt(deliver(ucs2, [], { dataCoding: 8 }))?.textId).toBe('77');
    const header = Buffer.from([5, 0, 3, 9, 2, 1]);
    const udh = Buffer.concat([header, Buffer.from('id:78 stat:DELIVRD')]);
    expect(readReceipt(deliver(udh, [], { esmClass: 0x44 }))?.textId).toBe('78');
  });
});

test.each([
  ['DELIVRD', 2, 'delivered'],
  ['EXPIRED', 3, 'undelivered'],
  ['DELETED', 4, 'undelivered'],
  ['UNDELIV', 5, 'undelivered'],
  ['REJECTD', 8, 'undelivered'],
  ['ENROUTE', 1, null],
  ['ACCEPTD', 6, null],
  ['UNKNOWN', 7, null],
] as const)('%s, and message_state %i, is %p', (stat, value, status) => {
  expect(readReceipt(deliver(`id:1 stat:${stat}`))?.status).toBe(status);
  expect(readReceipt(deliver('', [id('1'), state(value)]))?.status).toBe(status);
});

describe('TLVs', () => {
  test('go before the text', () => {
    const receipt = readReceipt(deliver(FULL, [id('tlv-9'), state(5)]));
    expect(receipt).toMatchObject({ tlvId: 'tlv-9', textId: 'a_1-B', status: 'undelivered' });
  });

  test('are enough alone, even without the class of a receipt', () => {
    expect(readReceipt(deliver('', [id('9'), state(2)], { esmClass: 0 }))).toMatchObject({
      tlvId: '9',
      status: 'delivered',
    });
  });

  test("carry the network's error and our reference", () => {
    const receipt = readReceipt(
      deliver('', [
        id('9'),
        state(5),
        [Tlv.networkErrorCode, Buffer.from([3, 0, 27])],
        [Tlv.userMessageReference, Buffer.from([1, 2])],
      ]),
    );
    expect(receipt).toMatchObject({ error: 'dlr_27', reference: 0x0102 });
  });

  test('that are broken count as absent', () => {
    const receipt = readReceipt(
      deliver(FULL, [
        [Tlv.messageState, Buffer.alloc(0)],
        [Tlv.networkErrorCode, Buffer.from([1])],
        [Tlv.userMessageReference, Buffer.from([1])],
      ]),
    );
    expect(receipt).toMatchObject({ textId: 'a_1-B', status: 'delivered', error: null, reference: null });
  });
});

test('a message from a handset is no receipt, whatever it talks about', () => {
  for (const text of ['سلام', 'id: 5', 'my stat: fine', '']) {
    expect(readReceipt(deliver(Buffer.from(text), [], { esmClass: 0 }))).toBeNull();
  }
  expect(readReceipt(deliver(FULL, [], { esmClass: 0 }))?.textId).toBe('a_1-B');
});

test.each([
  ['2611221901', Date.UTC(2026, 10, 22, 19, 1, 59)],
  ['261122190107', Date.UTC(2026, 10, 22, 19, 1, 7)],
  ['20261122190107', Date.UTC(2026, 10, 22, 19, 1, 7)],
  ['2602301200', null],
  ['2613011200', null],
  ['2611222500', null],
  ['2611221961', null],
  ['26112219', null],
  ['', null],
  ['yesterday!', null],
])('the date %p is %p', (text, at) => {
  expect(readDate(text)).toBe(at);
});

describe('the time of a delivery', () => {
  const now = Date.UTC(2026, 10, 22, 19, 30);
  const minute = 60_000;
  test.each([
    ['written in UTC', now - minute, now - minute],
    ["written in Tehran's time", now - minute + 210 * minute, now - minute],
    ['a little ahead of our clock', now + minute / 2, now],
    ['missing', null, now],
    ['far in the future', now + 86_400_000, now],
    ['years ago', 0, now],
  ])('%s', (_, doneAt, at) => {
    expect(receiptTime(doneAt, now)).toBe(at);
  });
});

describe('ids', () => {
  const forms = ['as_is', 'hex', 'decimal'] as const;
  test('the id of an answer and that of its receipt meet in one form, whichever each is written in', () => {
    const write = {
      as_is: (n: bigint) => String(n),
      hex: (n: bigint) => n.toString(16).toUpperCase().padStart(10, '0'),
      decimal: (n: bigint) => n.toString().padStart(20, '0'),
    };
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
        fc.constantFrom('hex', 'decimal'),
        fc.constantFrom('hex', 'decimal'),
        (n, response, receipt) => {
          const answered = normaliseId(write[response](n), response);
          const text = receiptId({ tlvId: '', textId: write[receipt](n) } as never, { response, receipt });
          const both = receiptId({ tlvId: write[response](n), textId: write[receipt](n) } as never, {
            response,
            receipt,
          });
          expect([text, both]).toEqual([answered, answered]);
        },
      ),
    );
  });

  test('as_is changes nothing, and what is not a number in its form stays as it is', () => {
    expect(forms.map((form) => normaliseId('00aF', form))).toEqual(['00aF', '175', '00aF']);
    expect(forms.map((form) => normaliseId('x-7', form))).toEqual(['x-7', 'x-7', 'x-7']);
    expect(normaliseId('0x1F', 'hex')).toBe('31');
  });

  test('a TLV alone is read in the form of the receipt, or of the answer where it can only be that', () => {
    const forms = { response: 'hex', receipt: 'decimal' } as const;
    expect(receiptId({ tlvId: '255', textId: '' } as never, forms)).toBe('255');
    expect(receiptId({ tlvId: 'ff', textId: '' } as never, forms)).toBe('255');
    expect(receiptId({ tlvId: '', textId: '' } as never, { response: 'as_is', receipt: 'as_is' })).toBe('');
  });
});

test('any bytes and any TLVs are read without a throw', () => {
  const tlv = fc.tuple(fc.constantFrom(...Object.values(Tlv), 0x1400), fc.uint8Array({ maxLength: 40 }));
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(tlv, { maxLength: 6 }),
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(0, 3, 4, 8),
      (bytes, tlvs, esmClass, dataCoding) => {
        const receipt = readReceipt(
          deliver(
            Buffer.from(bytes),
            tlvs.map(([tag, value]) => [tag, Buffer.from(value)] as [number, Buffer]),
            { esmClass, dataCoding },
          ),
        );
        if (!receipt) return;
        receiptId(receipt, { response: 'hex', receipt: 'decimal' });
        receiptTime(receipt.doneAt, Date.now());
        if (receipt.error !== null) expect(receipt.error).toMatch(/^dlr_[0-9a-z]{1,8}$/);
      },
    ),
    { numRuns: 500 },
  );
});
