import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import smpp from 'smpp';
import type { Submission } from '../../../dispatcher/connector.ts';
import { partCount, partsOf, validityPeriod } from '../../../dispatcher/connectors/smpp-parts.ts';
import { type SubmitFields, submitSm } from '../../../dispatcher/connectors/smpp-pdu.ts';
import { encodingOf } from '../../../shared/sms/encoding.ts';
import { pagesOf } from '../../../shared/sms/pages.ts';
import { smppSettings } from './smpp-settings.ts';

const submission = (text: string, over: Partial<Submission> = {}): Submission => ({
  messageId: 'm1',
  attempt: 1,
  to: '+989121234567',
  from: '982000',
  text,
  encoding: encodingOf(text),
  pages: pagesOf(text, encodingOf(text)),
  lane: 'normal',
  validUntil: 60_000,
  ...over,
});
const write = (text: string, over = {}, of: Partial<Submission> = {}): SubmitFields[] =>
  partsOf(submission(text, of), smppSettings(over), 7, 0x1234, 0);

/** GSM 03.38 by the package's own table, which knows nothing of ours. */
const readGsm7 = (bytes: Uint8Array): string => smpp.encodings.ASCII.decode(Buffer.from(bytes));
const readUcs2 = (bytes: Uint8Array): string => Buffer.from(bytes).swap16().toString('utf16le');

type Read = { text: string; reference: number; total: number; number: number; headerBytes: number; units: number };

function readPart({ message, dataCoding, esmClass }: SubmitFields): Read {
  const read = dataCoding === 8 ? readUcs2 : readGsm7;
  if ((esmClass & 0x40) === 0) {
    return { text: read(message), reference: 0, total: 1, number: 1, headerBytes: 0, units: message.length };
  }
  const headerBytes = (message[0] as number) + 1;
  const wide = message[1] === 8;
  const [reference, total, number] = wide
    ? [((message[3] as number) << 8) | (message[4] as number), message[5], message[6]]
    : [message[3] as number, message[4], message[5]];
  const body = message.subarray(headerBytes);
  return {
    text: read(body),
    reference,
    total: total as number,
    number: number as number,
    headerBytes,
    units: body.length,
  };
}

const gsm7Character = fc.constantFrom(...'@£$¥èéùìòÇ\nØøΔ_ΦΓΛΩ !"#¤%&0123456789ABCabcäöñüà^{}\\[~]|€');
const ucs2Character = fc.constantFrom(...'سلامپچژگ۱۲۳،؟', '\u200c', '😀', '👨‍👩‍👧', 'a', '{');
const anyText = fc.oneof(
  fc.array(gsm7Character, { minLength: 1, maxLength: 700 }).map((characters) => characters.join('')),
  fc.array(ucs2Character, { minLength: 1, maxLength: 400 }).map((characters) => characters.join('')),
);

describe('the parts of a message', () => {
  test.each(['udh8', 'udh16', 'payload'] as const)('by %s reassemble to the text, whatever it holds', (longMessage) => {
    fc.assert(
      fc.property(anyText, (text) => {
        const parts = write(text, { longMessage });
        const read = parts.map(readPart);
        expect(read.map(({ text }) => text).join('')).toBe(text);
        expect(read.map(({ number }) => number)).toEqual(parts.map((_, at) => at + 1));
        for (const part of read) {
          expect(part.total).toBe(parts.length);
          expect(part.text.isWellFormed()).toBe(true);
          expect(part.text.length).toBeGreaterThan(0);
        }
      }),
      { numRuns: 300 },
    );
  });

  test.each(['udh8', 'udh16'] as const)('by %s fit into 140 octets on the air, header included', (longMessage) => {
    fc.assert(
      fc.property(anyText, (text) => {
        for (const fields of write(text, { longMessage })) {
          const { headerBytes, units } = readPart(fields);
          const septets = Math.ceil((headerBytes * 8) / 7) + units;
          const onAir = fields.dataCoding === 8 ? headerBytes + units : Math.ceil((septets * 7) / 8);
          expect(onAir).toBeLessThanOrEqual(140);
          expect(fields.message.length).toBeLessThanOrEqual(254);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('are as many as the pages that were billed, by udh8', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(write(text).length).toBe(pagesOf(text, encodingOf(text)));
      }),
    );
  });

  test('are known in number beforehand, whatever the form and the alphabet', () => {
    const form = fc.constantFrom('udh8', 'udh16', 'payload' as const);
    const alphabet = fc.constantFrom('gsm7', 'latin1', 'ascii' as const);
    fc.assert(
      fc.property(anyText, form, alphabet, (text, longMessage, defaultAlphabet) => {
        const settings = smppSettings({ longMessage, defaultAlphabet } as Parameters<typeof smppSettings>[0]);
        const message = submission(text);
        expect(partCount(message, settings)).toBe(partsOf(message, settings, 7, 1, 0).length);
      }),
      { numRuns: 300 },
    );
  });

  test('an emoji on the boundary is not torn apart', () => {
    const text = `${'س'.repeat(66)}😀${'م'.repeat(100)}`;
    const parts = write(text).map(readPart);
    expect(parts.map(({ text }) => text)).toEqual(['س'.repeat(66), `😀${'م'.repeat(65)}`, 'م'.repeat(35)]);
  });

  test('an escape on the boundary stays with its character', () => {
    const parts = write(`${'a'.repeat(152)}€${'b'.repeat(20)}`).map(readPart);
    expect(parts.map(({ text }) => text)).toEqual(['a'.repeat(152), `€${'b'.repeat(20)}`]);
  });

  test('carry one reference in each, of 8 or of 16 bits', () => {
    const text = 'س'.repeat(200);
    expect(write(text).map((part) => readPart(part).reference)).toEqual([0x34, 0x34, 0x34]);
    expect(write(text, { longMessage: 'udh16' }).map((part) => readPart(part).reference)).toEqual([
      0x1234, 0x1234, 0x1234, 0x1234,
    ]);
  });

  test('one page has no header', () => {
    expect(write('س'.repeat(70))).toMatchObject([{ esmClass: 0, dataCoding: 8, payload: false }]);
    expect(write('a'.repeat(160))).toMatchObject([{ esmClass: 0, dataCoding: 0, payload: false }]);
  });

  test('message_payload carries all pages in one, and one page needs none', () => {
    const [long, ...rest] = write('س'.repeat(670), { longMessage: 'payload' });
    expect([long?.payload, long?.message.length, rest.length]).toEqual([true, 1340, 0]);
    expect(write('س', { longMessage: 'payload' })[0]?.payload).toBe(false);
  });
});

describe("the SMSC's default alphabet", () => {
  test('latin1 and ascii carry their own bytes', () => {
    expect(Buffer.from(write('@é{', { defaultAlphabet: 'latin1' })[0]?.message ?? []).toString('latin1')).toBe('@é{');
    expect(Buffer.from(write('@_{', { defaultAlphabet: 'ascii' })[0]?.message ?? []).toString('latin1')).toBe('@_{');
  });

  test('what it does not have goes out as UCS-2, not as another letter', () => {
    for (const [alphabet, text] of [
      ['latin1', 'a€'],
      ['latin1', 'Δ'],
      ['ascii', 'é'],
    ] as const) {
      const [part] = write(text, { defaultAlphabet: alphabet });
      expect([part?.dataCoding, readUcs2(part?.message ?? new Uint8Array())]).toEqual([8, text]);
    }
  });
});

describe('addresses and flags', () => {
  test.each([
    ['digits', '989121234567'],
    ['plus', '+989121234567'],
    ['national', '09121234567'],
  ] as const)('the receiver as %s', (destFormat, digits) => {
    expect(write('a', { destFormat, destTon: 2, destNpi: 8 })[0]?.destination).toEqual({ ton: 2, npi: 8, digits });
  });

  test.each([
    ['982000', 0, 1, '982000'],
    ['+982000', 1, 1, '982000'],
    ['MyBank', 5, 0, 'MyBank'],
  ])('the sender %s by its form', (from, ton, npi, digits) => {
    expect(write('a', {}, { from })[0]?.source).toEqual({ ton, npi, digits });
    expect(write('a', { sourceTon: 3, sourceNpi: 9 }, { from })[0]?.source).toEqual({ ton: 3, npi: 9, digits });
  });

  test('priority and validity are those of the lane; bulk is normal', () => {
    const over = { priority: { express: 3, normal: 1 }, validityPeriodMs: { express: 30_000, normal: 3_600_000 } };
    const of = (lane: Submission['lane']) => write('a', over, { lane, validUntil: 7_200_000 })[0];
    expect([of('express')?.priority, of('normal')?.priority, of('bulk')?.priority]).toEqual([3, 1, 1]);
    expect([of('express')?.validityPeriod, of('bulk')?.validityPeriod]).toEqual([
      '000000000030000R',
      '000000010000000R',
    ]);
  });

  test.each([
    [0, 60_000, ''],
    [300_000, 60_000_000, '000000000500000R'],
    [86_400_000, 60_000, '000000000100000R'],
    [604_800_000, 9e9, '000007000000000R'],
    [300_000, -5, '000000000001000R'],
  ])('a period of %i ms with %i ms of validity left is %p', (periodMs, remainingMs, written) => {
    expect(validityPeriod(periodMs, remainingMs)).toBe(written);
  });

  test.each([
    ['a sender that is too long', { from: 'x'.repeat(21) }],
    ['a sender that is no ASCII', { from: 'بانک' }],
    ['no sender', { from: '' }],
    ['a receiver that is no number', { to: '+1' }],
    ['no text', { text: '' }],
    ['a text that is not what its encoding says', { text: 'سلام', encoding: 'gsm7' as const }],
  ])('%s is refused before anything is written', (_, over) => {
    expect(() => write('a', {}, over)).toThrow(RangeError);
  });
});

test('an independent decoder reads every field as it was meant', () => {
  const [fields] = write('hello @_', {
    serviceType: 'CMT',
    registeredDelivery: 2,
    validityPeriodMs: { express: 0, normal: 60_000 },
  });
  const pdu = new smpp.PDU(submitSm(0x7fff_ffff, fields as SubmitFields));
  expect({ ...pdu, short_message: pdu.short_message?.message, validity_period: undefined }).toMatchObject({
    command: 'submit_sm',
    command_status: 0,
    sequence_number: 0x7fff_ffff,
    service_type: 'CMT',
    source_addr_ton: 0,
    source_addr_npi: 1,
    source_addr: '982000',
    dest_addr_ton: 1,
    dest_addr_npi: 1,
    destination_addr: '989121234567',
    esm_class: 0,
    protocol_id: 0,
    priority_flag: 0,
    schedule_delivery_time: '',
    registered_delivery: 2,
    replace_if_present_flag: 0,
    data_coding: 0,
    sm_default_msg_id: 0,
    short_message: 'hello @_',
    user_message_reference: 7,
  });
  const [long] = write('س'.repeat(300), { longMessage: 'payload' });
  const payload = new smpp.PDU(submitSm(1, long as SubmitFields));
  expect([payload.message_payload?.message, payload.user_message_reference]).toEqual(['س'.repeat(300), 7]);
});
