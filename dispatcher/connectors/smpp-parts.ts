/** A message as the PDUs that carry it: its encoding, its parts with the header that joins them, its addresses. */
import { gsm7Bytes, septetsOf } from '../../shared/sms/encoding.ts';
import type { DefaultAlphabet, SmppSettings } from '../../shared/sms/operator-smpp.ts';
import { splitText } from '../../shared/sms/pages.ts';
import { addressOf } from '../../shared/sms/sender.ts';
import type { Submission } from '../connector.ts';
import type { Address, SubmitFields } from './smpp-pdu.ts';

const ESM_CLASS_UDHI = 0x40;
const DATA_CODING_DEFAULT = 0x00;
const DATA_CODING_UCS2 = 0x08;
/** SMPP 3.4, 5.2.9: a C-octet string of at most 21 octets. */
const ADDRESS = /^[\x21-\x7e]{1,20}$/;
/** The 16 bit header takes 7 octets of 140 where the 8 bit one takes 6. */
const PART_UDH16 = { gsm7: 152, ucs2: 66 } as const;
const PARTS_MAX = 255;
const BEYOND_ASCII = /[^\p{ASCII}]/u;
const BEYOND_LATIN1 = /[\u0100-\uffff]/;

export type Encoded = { dataCoding: number; bytes: (text: string) => Uint8Array; encoding: 'gsm7' | 'ucs2' };

/**
 * The PDUs of one message, in order. Throws a RangeError when it cannot be written at all (a sender that is no address, a text
 * that is not what its encoding says): that message is refused, and trying again would not help.
 * @param reference echoed by some operators, the same in each part
 * @param concatenation joins the parts; its low 8 or 16 bits are used
 * @param now epoch milliseconds
 */
export function partsOf(
  submission: Submission,
  settings: SmppSettings,
  reference: number,
  concatenation: number,
  now: number,
): SubmitFields[] {
  const lane = submission.lane === 'express' ? 'express' : 'normal';
  const encoded = encodingFor(submission, settings.defaultAlphabet);
  const common: Omit<SubmitFields, 'esmClass' | 'message' | 'payload'> = {
    serviceType: settings.serviceType,
    source: sourceOf(submission.from, settings),
    destination: destinationOf(submission.to, settings),
    priority: settings.priority[lane],
    validityPeriod: validityPeriod(settings.validityPeriodMs[lane], submission.validUntil - now),
    registeredDelivery: settings.registeredDelivery,
    dataCoding: encoded.dataCoding,
    reference,
  };
  const texts = splitText(submission.text, encoded.encoding);
  if (texts.length === 1) {
    return [{ ...common, esmClass: 0, message: encoded.bytes(submission.text), payload: false }];
  }
  if (settings.longMessage === 'payload') {
    return [{ ...common, esmClass: 0, message: encoded.bytes(submission.text), payload: true }];
  }
  const wide = settings.longMessage === 'udh16';
  const parts = wide ? splitWide(submission.text, encoded.encoding) : texts;
  if (parts.length === 0 || parts.length > PARTS_MAX) throw new RangeError('the text has no parts, or too many');
  return parts.map((text, at) => ({
    ...common,
    esmClass: ESM_CLASS_UDHI,
    message: withHeader(encoded.bytes(text), wide, concatenation, parts.length, at + 1),
    payload: false,
  }));
}

/** How many PDUs `partsOf` makes of it. */
export function partCount(
  message: Pick<Submission, 'text' | 'encoding' | 'pages'>,
  { longMessage, defaultAlphabet }: Pick<SmppSettings, 'longMessage' | 'defaultAlphabet'>,
): number {
  const { encoding } = encodingFor(message, defaultAlphabet);
  const asBilled = encoding === message.encoding && (message.pages === 1 || longMessage !== 'udh16');
  const parts = asBilled ? message.pages : splitText(message.text, encoding).length;
  if (parts === 1 || longMessage === 'payload') return 1;
  return asBilled || longMessage !== 'udh16' ? parts : splitWide(message.text, encoding).length;
}

/**
 * What data_coding 0 cannot carry at this SMSC (Greek capitals or the euro sign in Latin-1) goes out as UCS-2, in more parts than
 * were billed perhaps, rather than with other letters than were written.
 */
function encodingFor({ text, encoding }: Pick<Submission, 'text' | 'encoding'>, alphabet: DefaultAlphabet): Encoded {
  if (encoding === 'ucs2') return UCS2;
  if (alphabet === 'gsm7') return GSM7;
  return (alphabet === 'ascii' ? BEYOND_ASCII : BEYOND_LATIN1).test(text) ? UCS2 : LATIN1;
}

const UCS2: Encoded = {
  dataCoding: DATA_CODING_UCS2,
  bytes: (text) => Buffer.from(text, 'utf16le').swap16(),
  encoding: 'ucs2',
};
const GSM7: Encoded = { dataCoding: DATA_CODING_DEFAULT, bytes: gsm7Bytes, encoding: 'gsm7' };
const LATIN1: Encoded = {
  dataCoding: DATA_CODING_DEFAULT,
  bytes: (text) => Buffer.from(text, 'latin1'),
  encoding: 'gsm7',
};

/** 3GPP TS 23.040, 9.2.3.24.1 and 9.2.3.24.8. */
function withHeader(bytes: Uint8Array, wide: boolean, reference: number, total: number, number: number): Uint8Array {
  const header = wide
    ? [6, 0x08, 4, (reference >> 8) & 0xff, reference & 0xff, total, number]
    : [5, 0x00, 3, reference & 0xff, total, number];
  const message = new Uint8Array(header.length + bytes.length);
  message.set(header);
  message.set(bytes, header.length);
  return message;
}

/** As `splitText` does, for the shorter parts: never inside a surrogate pair or between an escape and its character. */
function splitWide(text: string, encoding: 'gsm7' | 'ucs2'): string[] {
  const parts: string[] = [];
  let start = 0;
  let units = 0;
  let at = 0;
  for (const character of text) {
    const size = encoding === 'ucs2' ? character.length : septetsOf(character.charCodeAt(0));
    if (units + size > PART_UDH16[encoding]) {
      parts.push(text.slice(start, at));
      start = at;
      units = 0;
    }
    units += size;
    at += character.length;
  }
  parts.push(text.slice(start));
  return parts;
}

function sourceOf(sender: string, settings: SmppSettings): Address {
  const from = lineOf(sender, settings.sourceAddress);
  const { ton, npi } = addressOf(from);
  const digits = from.startsWith('+') ? from.slice(1) : from;
  if (!ADDRESS.test(digits)) throw new RangeError('the sender is no address');
  return { ton: settings.sourceTon ?? ton, npi: settings.sourceNpi ?? npi, digits };
}

/** Another operator may know an account by another line: a message that it carries for its own one is from there. */
function lineOf(sender: string, lines: SmppSettings['sourceAddress']): string {
  if (typeof lines === 'string') return lines;
  return (Object.hasOwn(lines, sender) ? lines[sender] : undefined) ?? sender;
}

function destinationOf(to: string, { destTon, destNpi, destFormat }: SmppSettings): Address {
  if (!/^\+98[0-9]{10}$/.test(to)) throw new RangeError('the receiver is no number of Iran in E.164');
  const digits = destFormat === 'plus' ? to : destFormat === 'digits' ? to.slice(1) : `0${to.slice(3)}`;
  return { ton: destTon, npi: destNpi, digits };
}

/**
 * The relative form of SMPP 3.4, 7.1.1 (`YYMMDDhhmmss000R`), which needs no common clock; '' leaves it to the operator. It ends no later than
 * the message's own validity, so that an operator does not deliver what was given up here.
 */
export function validityPeriod(periodMs: number, remainingMs: number): string {
  if (periodMs === 0) return '';
  let seconds = Math.max(1, Math.floor(Math.min(periodMs, remainingMs) / 1000));
  let written = '';
  for (const size of [86_400, 3_600, 60, 1]) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    written += String(count).padStart(2, '0');
  }
  return `0000${written}000R`;
}
