/**
 * What travels through Kafka. Values are JSON in snake_case, times are epoch milliseconds, money is integer Rials.
 * An event is decoded by a function that is total: a record that does not fit answers null, is counted and passed by.
 */
import type { Lane } from './topics.ts';

/** An accepted message: the value of `sms-express`, `sms-normal`, `sms-bulk`; kept in the message's record as well. */
export type MessageEvent = {
  /** UUIDv7; its own time is the day of the message's partition in PostgreSQL. */
  id: string;
  user_id: string;
  /** E.164, `+989xxxxxxxxx`. */
  phone: string;
  text: string;
  type: 'express' | 'normal';
  lane: Lane;
  sender: string;
  client_ref?: string;
  batch_id?: string;
  replay_of?: string;
  operator: string;
  encoding: 'gsm7' | 'ucs2';
  pages: number;
  price: number;
  accepted_at: number;
  /** Nothing is submitted after this instant. */
  valid_until: number;
};

/** The value of `sms-dlq`: the message, the attempt it waits for and the earliest instant of it. */
export type RetryEvent = MessageEvent & {
  attempt: number;
  not_before: number;
  /** Set after an unknown outcome: an earlier submit to this operator may have arrived, so no other one gets it. */
  pinned?: string;
};

export type MessageStatus = 'queued' | 'retrying' | 'unknown' | 'sent' | 'failed' | 'delivered' | 'undelivered';

/** `perhaps_sent`: refunded, yet the operator may have it. `perhaps_double`: sent again after an unknown. `partial`: some parts only. */
export type MessageFlag = 'perhaps_sent' | 'perhaps_double' | 'partial' | 'fallback' | 'rerouted';

/** A step of a message as billing decided it: a value of `sms-status`. */
export type StatusEvent = {
  kind: 'status';
  id: string;
  user_id: string;
  status: 'retrying' | 'unknown' | 'sent' | 'failed';
  /** Counts the record's decisions; a later one has a higher number. */
  version: number;
  /** The attempt that this outcome belongs to, 1 to 4; for `retrying` the one that failed. */
  attempt: number;
  operator: string;
  /** The operator's own message ids, one a part; empty where none was given. */
  operator_ids: string[];
  /** Rials posted by this decision: the only source of what PostgreSQL counts as spent. */
  posted: number;
  error: string | null;
  flags: MessageFlag[];
  at: number;
  /** True when the last retry failed: the report keeps it as a dead letter. */
  dead: boolean;
};

/** A delivery receipt as an operator sent it: a value of `sms-status`. */
export type ReceiptEvent = {
  kind: 'receipt';
  operator: string;
  operator_id: string;
  /** The message's own id where the operator echoed it. */
  message_id?: string;
  /** The handset's number (E.164) where the receipt named it. */
  phone?: string;
  /** Where this operator gets a long message in parts: it is of one of them and says nothing of the others. */
  part?: true;
  status: 'delivered' | 'undelivered';
  error: string | null;
  at: number;
};

/** A top-up or a correction: the value of `billing-ledger`. `amount` is signed. */
export type LedgerEvent = {
  transaction_id: string;
  user_id: string;
  kind: 'topup' | 'adjust';
  amount: number;
  reason: string | null;
  at: number;
};

const isText = (v: unknown): v is string => typeof v === 'string';
const isCount = (v: unknown): v is number => typeof v === 'number' && Number.isSafeInteger(v);
const LANE_NAMES: ReadonlySet<unknown> = new Set(['express', 'normal', 'bulk']);
const STATUS_NAMES: ReadonlySet<unknown> = new Set(['retrying', 'unknown', 'sent', 'failed']);
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Kafka's values are Buffers already, and wrapping one again costs as much as decoding it. */
const textOf = (bytes: Uint8Array): string =>
  (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)).toString();

function parse(value: Uint8Array | string | null): Record<string, unknown> | null {
  if (value === null) return null;
  try {
    const json: unknown = JSON.parse(typeof value === 'string' ? value : textOf(value));
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

const isMessage = (e: Record<string, unknown>): boolean =>
  isText(e.id) &&
  UUID.test(e.id) &&
  isText(e.user_id) &&
  isText(e.phone) &&
  isText(e.text) &&
  isText(e.sender) &&
  isText(e.operator) &&
  LANE_NAMES.has(e.lane) &&
  (e.type === 'express' || e.type === 'normal') &&
  (e.encoding === 'gsm7' || e.encoding === 'ucs2') &&
  isCount(e.pages) &&
  isCount(e.price) &&
  isCount(e.accepted_at) &&
  isCount(e.valid_until);

/** Decodes a value of a lane's topic; null when it is not a message. */
export function decodeMessage(value: Uint8Array | string | null): MessageEvent | null {
  const e = parse(value);
  return e !== null && isMessage(e) ? (e as MessageEvent) : null;
}

/** Decodes a value of `sms-dlq`; null when it is not a retry. */
export function decodeRetry(value: Uint8Array | string | null): RetryEvent | null {
  const e = parse(value);
  return e !== null && isMessage(e) && isCount(e.attempt) && e.attempt >= 1 && isCount(e.not_before)
    ? (e as RetryEvent)
    : null;
}

/** Decodes a value of `sms-status`; null when it is neither a status nor a receipt. */
export function decodeStatus(value: Uint8Array | string | null): StatusEvent | ReceiptEvent | null {
  const e = parse(value);
  if (e === null || !isText(e.operator) || !isCount(e.at)) return null;
  if (e.kind === 'receipt') {
    const fits = isText(e.operator_id) && (e.status === 'delivered' || e.status === 'undelivered');
    return fits ? (e as ReceiptEvent) : null;
  }
  const fits =
    e.kind === 'status' &&
    isText(e.id) &&
    UUID.test(e.id) &&
    isText(e.user_id) &&
    STATUS_NAMES.has(e.status) &&
    isCount(e.version) &&
    isCount(e.attempt) &&
    isCount(e.posted) &&
    e.posted >= 0 &&
    Array.isArray(e.operator_ids) &&
    Array.isArray(e.flags);
  return fits ? (e as StatusEvent) : null;
}

/** Decodes a value of `billing-ledger`; null when it is not an entry. */
export function decodeLedger(value: Uint8Array | string | null): LedgerEvent | null {
  const e = parse(value);
  const fits =
    e !== null &&
    isText(e.transaction_id) &&
    UUID.test(e.transaction_id) &&
    isText(e.user_id) &&
    (e.kind === 'topup' || e.kind === 'adjust') &&
    isCount(e.amount) &&
    isCount(e.at);
  return fits ? (e as LedgerEvent) : null;
}
