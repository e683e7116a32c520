/**
 * From a Kafka record to a fact that can be written. Total: what cannot be read, or what no column could hold, is poison with
 * a reason. Money decides how strict this is: a status whose error text holds a character that PostgreSQL refuses is mended,
 * not dropped, for its posted amount counts.
 */
import {
  decodeLedger,
  decodeMessage,
  decodeStatus,
  type LedgerEvent,
  type MessageEvent,
  type ReceiptEvent,
  type StatusEvent,
} from '../shared/events.ts';
import { idTimeMs, isId } from '../shared/id.ts';
import { TOPICS } from '../shared/topics.ts';

export type Origin = { topic: string; partition: number; offset: number };
export type Fact = Origin &
  (
    | { kind: 'message'; event: MessageEvent }
    | { kind: 'status'; event: StatusEvent }
    | { kind: 'receipt'; event: ReceiptEvent }
    | { kind: 'ledger'; event: LedgerEvent }
    | { kind: 'poison'; reason: string; value: Buffer | null }
  );

/** An id from further ahead than this is not a clock's error: its day would never be dropped. */
const AHEAD_MAX_MS = 86_400_000;
/** 2200-01-01: beyond it an instant is a mistake. */
const INSTANT_MAX_MS = 7_258_118_400_000;

const isInstant = (ms: number): boolean => ms >= 0 && ms < INSTANT_MAX_MS;
const isSmall = (n: number): boolean => n >= 0 && n <= 32_767;
const isName = (v: string, max: number): boolean => v.length > 0 && v.length <= max && !UNFIT.test(v);
const isOptionalId = (v: unknown): boolean => v === undefined || v === null || (typeof v === 'string' && isId(v));

// biome-ignore lint/suspicious/noControlCharactersInRegex: PostgreSQL's text cannot hold NUL, and jsonb no lone surrogate.
const UNFIT = /[\u0000\ud800-\udfff]/u;

/** The text with what PostgreSQL cannot hold replaced by U+FFFD. */
function fit(text: string): string {
  return UNFIT.test(text) ? text.toWellFormed().replaceAll('\0', '\ufffd') : text;
}

const fitOrNull = (v: unknown): string | null => (typeof v === 'string' ? fit(v) : null);

function checkId(id: string, nowMs: number): string | null {
  return idTimeMs(id) > nowMs + AHEAD_MAX_MS ? 'an id from the future' : null;
}

function checkMessage(e: MessageEvent, nowMs: number): string | null {
  if (!isName(e.user_id, 64) || !isName(e.phone, 32) || !isName(e.operator, 64)) return 'a name that does not fit';
  if (!isSmall(e.pages) || e.price < 0) return 'a number that does not fit';
  if (!isInstant(e.accepted_at)) return 'an instant that does not fit';
  if (!isOptionalId(e.batch_id) || !isOptionalId(e.replay_of)) return 'an id that does not fit';
  e.text = fit(e.text);
  e.sender = fit(e.sender);
  e.client_ref = fitOrNull(e.client_ref) ?? undefined;
  return checkId(e.id, nowMs);
}

function checkStatus(e: StatusEvent, nowMs: number): string | null {
  if (!isName(e.user_id, 64) || e.operator.length > 64 || UNFIT.test(e.operator)) return 'a name that does not fit';
  if (!isSmall(e.attempt) || e.version < 0 || e.version > 2_147_483_647) return 'a number that does not fit';
  if (!isInstant(e.at)) return 'an instant that does not fit';
  e.error = fitOrNull(e.error);
  e.flags = e.flags.filter((flag) => typeof flag === 'string' && isName(flag, 64));
  e.operator_ids = [...new Set(e.operator_ids.filter((id) => typeof id === 'string' && isName(id, 256)))];
  return checkId(e.id, nowMs);
}

function checkReceipt(e: ReceiptEvent, nowMs: number): string | null {
  if (!isOptionalId(e.message_id)) return 'an id that does not fit';
  // Where an operator echoes our id alone, that names the part.
  if (e.operator_id === '') e.operator_id = e.message_id ?? '';
  if (!isName(e.operator_id, 256) || !isName(e.operator, 64)) return 'a name that does not fit';
  if (!isInstant(e.at)) return 'an instant that does not fit';
  e.error = fitOrNull(e.error);
  if (typeof e.phone !== 'string' || !isName(e.phone, 32)) e.phone = undefined;
  if (e.part !== true) e.part = undefined;
  return e.message_id ? checkId(e.message_id, nowMs) : null;
}

function checkLedger(e: LedgerEvent): string | null {
  if (!isName(e.user_id, 64)) return 'a name that does not fit';
  e.reason = fitOrNull(e.reason);
  return isInstant(e.at) ? null : 'an instant that does not fit';
}

/**
 * Reads one record.
 * @param nowMs epoch milliseconds: ids from more than a day ahead are refused
 */
export function readFact(origin: Origin, value: Buffer | null, nowMs: number): Fact {
  const { topic, partition, offset } = origin;
  const poison = (reason: string): Fact => ({ topic, partition, offset, kind: 'poison', reason, value });
  if (topic === TOPICS.ledger) {
    const event = decodeLedger(value);
    if (event === null) return poison('not a ledger entry');
    const reason = checkLedger(event);
    return reason ? poison(reason) : { topic, partition, offset, kind: 'ledger', event };
  }
  if (topic === TOPICS.status) {
    const event = decodeStatus(value);
    if (event === null) return poison('neither a status nor a receipt');
    const reason = event.kind === 'receipt' ? checkReceipt(event, nowMs) : checkStatus(event, nowMs);
    if (reason) return poison(reason);
    return event.kind === 'receipt'
      ? { topic, partition, offset, kind: 'receipt', event }
      : { topic, partition, offset, kind: 'status', event };
  }
  const event = decodeMessage(value);
  if (event === null) return poison('not a message');
  const reason = checkMessage(event, nowMs);
  return reason ? poison(reason) : { topic, partition, offset, kind: 'message', event };
}
