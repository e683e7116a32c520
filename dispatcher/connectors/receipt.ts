/**
 * A delivery receipt as an SMSC sends it: TLVs first, the text form second (SMPP 3.4, appendix B). The text form is a habit and
 * no standard, so it is read by its names, wherever they stand and however they are written.
 */
import type { IdForm } from '../../shared/sms/operator-smpp.ts';
import { type Deliver, Tlv } from './smpp-pdu.ts';

export type Receipt = {
  /** As the operator wrote them: `receiptId` makes one of them. '' where there is none. */
  tlvId: string;
  textId: string;
  /** null: no change (accepted, en route, unknown). */
  status: 'delivered' | 'undelivered' | null;
  /** `dlr_` and the operator's own number, such as `dlr_011`; null for 000 and where there is none. */
  error: string | null;
  /** `done date` read as UTC, epoch milliseconds; null where it is missing or none. It carries no time zone: see receiptTime. */
  doneAt: number | null;
  /** user_message_reference as it was echoed; null where it was not. */
  reference: number | null;
};

/** SMPP 3.4, 5.2.28. */
const STATES: Readonly<Record<number, 'delivered' | 'undelivered'>> = {
  2: 'delivered',
  3: 'undelivered', // EXPIRED
  4: 'undelivered', // DELETED
  5: 'undelivered', // UNDELIVERABLE
  8: 'undelivered', // REJECTED
};
/** The words of appendix B and what they become where an operator writes them out; by their first letters. */
const STATE_WORDS: readonly (readonly [RegExp, 'delivered' | 'undelivered'])[] = [
  [/^deliv/, 'delivered'],
  [/^(?:expired|deleted|undeliv|reject|failed)/, 'undelivered'],
];

const ESM_CLASS_RECEIPT = 0x04;
const ESM_CLASS_TYPE_MASK = 0x3c;
const ESM_CLASS_UDHI = 0x40;
const DATA_CODING_UCS2 = 0x08;

/** @returns null when this is a message from a handset and no receipt */
export function readReceipt(deliver: Deliver): Receipt | null {
  const type = deliver.esmClass & ESM_CLASS_TYPE_MASK;
  const tlvId = deliver.tlvs.get(Tlv.receiptedMessageId);
  const text = receiptText(deliver);
  const isReceipt = type === ESM_CLASS_RECEIPT || tlvId !== undefined || (type === 0 && looksLikeReceipt(text));
  if (!isReceipt) return null;

  const fields = readReceiptText(text);
  const state = deliver.tlvs.get(Tlv.messageState);
  return {
    tlvId: tlvId ? cText(tlvId) : '',
    textId: fields.id,
    status: state?.length ? (STATES[state[0] as number] ?? null) : stateOf(fields.stat),
    error: errorOf(fields.err, deliver.tlvs.get(Tlv.networkErrorCode)),
    doneAt: readDate(fields.doneDate),
    reference: readReference(deliver.tlvs.get(Tlv.userMessageReference)),
  };
}

const cText = (bytes: Buffer): string => {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end).trim();
};

/** ASCII whatever data_coding says, but for the operators that send receipts in UCS-2. */
function receiptText({ message, esmClass, dataCoding }: Deliver): string {
  const udh = esmClass & ESM_CLASS_UDHI && message.length > 0 ? (message[0] as number) + 1 : 0;
  const body = message.subarray(udh);
  if (dataCoding !== DATA_CODING_UCS2 || body.length % 2 === 1 || body[0] !== 0) return body.toString('latin1');
  return Buffer.from(body).swap16().toString('utf16le');
}

const looksLikeReceipt = (text: string): boolean => /\bid:/i.test(text) && /\bstat:/i.test(text);

/** An empty field is followed by the next name, which is not its value. */
const FIELD =
  /\b(id|done date|stat|err)[ \t]*:[ \t]*(?!(?:sub|dlvrd|submit date|done date|stat|err|text)[ \t]*:)([^\s:]*)/gi;

/** Reads the names in any order and case; `text:` ends them, since what follows is the message's own words. */
export function readReceiptText(text: string): { id: string; doneDate: string; stat: string; err: string } {
  const found = { id: '', doneDate: '', stat: '', err: '' };
  const ownWords = text.search(/\btext[ \t]*:/i);
  const head = ownWords < 0 ? text : text.slice(0, ownWords);
  for (const [, name = '', value = ''] of head.matchAll(FIELD)) {
    const key = name.toLowerCase() === 'done date' ? 'doneDate' : (name.toLowerCase() as 'id' | 'stat' | 'err');
    if (found[key] === '') found[key] = value;
  }
  return found;
}

function stateOf(word: string): Receipt['status'] {
  const lower = word.toLowerCase();
  return STATE_WORDS.find(([pattern]) => pattern.test(lower))?.[1] ?? null;
}

/** A closed word: the operator's number and nothing of its free text. */
function errorOf(err: string, networkErrorCode: Buffer | undefined): string | null {
  const written = /^[0-9a-z]{1,8}$/i.exec(err)?.[0]?.toLowerCase();
  if (written !== undefined) return /^0+$/.test(written) ? null : `dlr_${written}`;
  if (networkErrorCode?.length !== 3) return null;
  const code = networkErrorCode.readUInt16BE(1);
  return code === 0 ? null : `dlr_${code}`;
}

/**
 * `YYMMDDhhmm` or `YYMMDDhhmmss`, read as UTC; some write four digits of the year. Without seconds it is the end of its minute, lest
 * a delivery seem to precede its submit.
 */
export function readDate(text: string): number | null {
  const match = /^(?:20)?([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})?$/.exec(text);
  if (!match) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1)
    .map((digits) => Number(digits ?? 59));
  const at = Date.UTC(2000 + year, month - 1, day, hour, minute, second);
  const read = new Date(at);
  // 31 February and 25 o'clock would become other days.
  if (read.getUTCMonth() + 1 !== month || read.getUTCDate() !== day || read.getUTCHours() !== hour) return null;
  if (minute > 59 || second > 59) return null;
  return at;
}

/** Iran's clock, which has no summer time since 2022. */
const TEHRAN_AHEAD_MS = 210 * 60_000;
const CLOCK_SKEW_MS = 60_000;
const RECEIPT_AGE_MAX_MS = 7 * 86_400_000;

/**
 * When it was delivered, as well as that can be told: some operators write Tehran's time and some UTC, without saying so. Of the
 * two readings the later one that is not in the future is taken, so that a delivery never seems to precede its submit; where
 * neither can be, it is the time of the receipt's arrival.
 */
export function receiptTime(doneAt: number | null, now: number): number {
  for (const at of doneAt === null ? [] : [doneAt, doneAt - TEHRAN_AHEAD_MS]) {
    if (at <= now + CLOCK_SKEW_MS && at >= now - RECEIPT_AGE_MAX_MS) return Math.min(at, now);
  }
  return now;
}

const readReference = (bytes: Buffer | undefined): number | null =>
  bytes?.length === 2 ? bytes.readUInt16BE(0) : null;

/**
 * One form for the id of an answer and the id of its receipt: some operators write the one in hex and the other in decimal, with
 * or without zeros in front. What is not a number in its form is compared as it is.
 */
export function normaliseId(id: string, form: IdForm): string {
  if (form === 'as_is') return id;
  const digits = id.trim();
  if (form === 'hex') {
    const hex = digits.replace(/^0x/i, '');
    return /^[0-9a-f]{1,64}$/i.test(hex) ? BigInt(`0x${hex}`).toString() : id;
  }
  return /^[0-9]{1,80}$/.test(digits) ? BigInt(digits).toString() : id;
}

/**
 * The id that the receipt's submit was answered with, in the form of `normaliseId(answer, forms.response)`; '' where there is none.
 * The TLV goes first. Where the forms differ it may be written in either (SMPP 3.4, 5.3.2.12 says that of the answer), so there
 * the text, whose form is known, goes first.
 */
export function receiptId(receipt: Receipt, forms: { response: IdForm; receipt: IdForm }): string {
  const { tlvId, textId } = receipt;
  if (forms.response === forms.receipt) return normaliseId(tlvId || textId, forms.receipt);
  if (textId !== '') return normaliseId(textId, forms.receipt);
  const isDecimal = /^[0-9]+$/.test(tlvId);
  return normaliseId(tlvId, forms.receipt === 'decimal' && !isDecimal ? forms.response : forms.receipt);
}
