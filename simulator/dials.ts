/** Everything about an operator's behaviour that can be set, and the check of each. */
import type { FieldError } from '../shared/error.ts';
import { OUTCOMES, type Rule } from './rules.ts';

export type ReceiptDials = {
  mode: 'none' | 'deliver';
  /** From the acceptance to the receipt, milliseconds. */
  delay_ms: number;
  jitter_ms: number;
  /** The share that ends undelivered. */
  share_undelivered: number;
  /** The share that never gets a receipt. */
  share_missing: number;
  /** The receipt goes out before the submit's answer does. */
  early: boolean;
  /** Each receipt is sent twice. */
  double: boolean;
  /** A receipt for each part of a long message; else one, with the first part's id, when the message is whole. */
  per_part: boolean;
  /** The status of what was not delivered. */
  undelivered_stat: 'UNDELIV' | 'EXPIRED' | 'DELETED' | 'REJECTD';
  /** A receipt that decides nothing, sent before the deciding one. */
  intermediate: 'none' | 'ENROUTE' | 'ACCEPTD' | 'UNKNOWN';
  /** SMPP: the TLVs receipted_message_id and message_state. */
  tlvs: boolean;
  /** SMPP: the text form `id:… stat:…`. */
  text: boolean;
  /** SMPP: whether receipted_message_id has the form of the submit's answer or that of the receipt's text. */
  tlv_id: 'response' | 'receipt';
  /** SMPP: the user_message_reference of the submit comes back. */
  echo_reference: boolean;
  /** SMPP: the part's UDH stands before the receipt's text. */
  udh: boolean;
  /** SMPP: receipts on their way in one bind at once. */
  window: number;
  /** From a refused receipt (or a failed callback) to its next try, milliseconds. */
  retry_ms: number;
  /** HTTP: where `{id, status, at, error}` is posted; empty for none. */
  callback_url: string;
};

export type Dials = {
  latency_ms: number;
  latency_jitter_ms: number;
  rules: Rule[];
  seed: number;
  /** Repeats of a message_id are answered with the first one's id (HTTP). */
  dedupe: boolean;
  /** Submits a second; what exceeds it is answered with 429 or ESME_RTHROTTLED. 0 means unlimited. */
  throttle_tps: number;
  /** false: sockets are destroyed unanswered and live binds dropped; when no operator accepts, the SMPP port closes. */
  accept_connections: boolean;
  /** Connections are accepted, and nothing is read or answered until it thaws. */
  freeze: boolean;
  enquire_link_silent: boolean;
  /** The operator's own enquire_link; a bind that leaves one unanswered until the next is dropped. 0 means never. */
  enquire_link_every_ms: number;
  /** The status that answers a bind, 0 to admit it. */
  bind_status: number;
  /** `fragments`: what goes out on SMPP is written a few bytes at a time. */
  partial_pdus: 'off' | 'fragments';
  /** Drops the link at every n-th submit, mid-window. 0 means never. */
  drop_after_n: number;
  /** How often it does so. */
  drop_times: number;
  /** Whether the n-th submit is not accepted, accepted and not answered, or its answer cut in the middle. */
  drop_mode: 'before' | 'after' | 'cut';
  /** Submits of a bind that may wait for their answer. 0 means unlimited. */
  max_outstanding: number;
  /** What answers those beyond it: 0x58 (throttled) or 0x14 (queue full). */
  max_outstanding_status: number;
  /** How the operator writes its message ids, in the submit's answer and in the receipt. */
  id_form: 'decimal' | 'hex' | 'hex_then_decimal' | 'decimal_then_hex';
  /** `counts` keeps no texts: for benchmarks. */
  record: 'full' | 'counts';
  receipts: ReceiptDials;
};

export type DialsPatch = Partial<Omit<Dials, 'receipts'>> & { receipts?: Partial<ReceiptDials> };

export const DEFAULT_DIALS: Dials = {
  latency_ms: 0,
  latency_jitter_ms: 0,
  rules: [],
  seed: 1,
  dedupe: true,
  throttle_tps: 0,
  accept_connections: true,
  freeze: false,
  enquire_link_silent: false,
  enquire_link_every_ms: 0,
  bind_status: 0,
  partial_pdus: 'off',
  drop_after_n: 0,
  drop_times: 1,
  drop_mode: 'after',
  max_outstanding: 0,
  max_outstanding_status: 0x58,
  id_form: 'decimal',
  record: 'full',
  receipts: {
    mode: 'none',
    delay_ms: 0,
    jitter_ms: 0,
    share_undelivered: 0,
    share_missing: 0,
    early: false,
    double: false,
    per_part: true,
    undelivered_stat: 'UNDELIV',
    intermediate: 'none',
    tlvs: true,
    text: true,
    tlv_id: 'response',
    echo_reference: true,
    udh: false,
    window: 100,
    retry_ms: 1_000,
    callback_url: '',
  },
};

/** Says what is wrong with a value, or nothing. */
type Check = (value: unknown, field: string, problems: FieldError[]) => void;

const check =
  (fits: (value: unknown) => boolean, detail: string): Check =>
  (value, field, problems) => {
    if (!fits(value)) problems.push({ field, detail });
  };
const whole = (min: number, max: number): Check =>
  check(
    (v) => Number.isSafeInteger(v) && (v as number) >= min && (v as number) <= max,
    `must be a whole number from ${min} to ${max}`,
  );
const flag = check((v) => typeof v === 'boolean', 'must be true or false');
const share = check((v) => typeof v === 'number' && v >= 0 && v <= 1, 'must be a number from 0 to 1');
const oneOf = (...choices: string[]): Check =>
  check((v) => choices.includes(v as string), `must be one of ${choices.join(', ')}`);
const pattern = check((v) => {
  try {
    return typeof v === 'string' && Boolean(new RegExp(v));
  } catch {
    return false;
  }
}, 'must be a regular expression');
const address = check(
  (v) => v === '' || (typeof v === 'string' && URL.canParse(v) && /^https?:/.test(v)),
  'must be an http address, or empty',
);

const DAY_MS = 86_400_000;
const STATUS_MAX = 0xffff_ffff;

type Checks = Readonly<Record<string, Check>>;

const fields =
  (checks: Checks, required: readonly string[] = []): Check =>
  (value, field, problems) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      problems.push({ field, detail: 'must be an object' });
      return;
    }
    const prefix = field === '' ? '' : `${field}.`;
    for (const name of required) if (!(name in value)) problems.push({ field: prefix + name, detail: 'is missing' });
    for (const [name, inner] of Object.entries(value)) {
      const one = Object.hasOwn(checks, name) ? checks[name] : undefined;
      if (one) one(inner, prefix + name, problems);
      else problems.push({ field: prefix + name, detail: `is not one of ${Object.keys(checks).join(', ')}` });
    }
  };

const rule = fields(
  {
    match: pattern,
    share,
    times: whole(1, 1_000_000),
    part: whole(1, 255),
    outcome: oneOf(...Object.keys(OUTCOMES)),
    http_status: whole(200, 599),
    smpp_status: whole(0, STATUS_MAX),
  },
  ['outcome'],
);

const rules: Check = (value, field, problems) => {
  if (!Array.isArray(value) || value.length > 1_000) {
    problems.push({ field, detail: 'must be a list of at most 1000 rules' });
    return;
  }
  for (const [index, one] of value.entries()) rule(one, `${field}[${index}]`, problems);
};

const RECEIPT_CHECKS: Record<keyof ReceiptDials, Check> = {
  mode: oneOf('none', 'deliver'),
  delay_ms: whole(0, DAY_MS),
  jitter_ms: whole(0, DAY_MS),
  share_undelivered: share,
  share_missing: share,
  early: flag,
  double: flag,
  per_part: flag,
  undelivered_stat: oneOf('UNDELIV', 'EXPIRED', 'DELETED', 'REJECTD'),
  intermediate: oneOf('none', 'ENROUTE', 'ACCEPTD', 'UNKNOWN'),
  tlvs: flag,
  text: flag,
  tlv_id: oneOf('response', 'receipt'),
  echo_reference: flag,
  udh: flag,
  window: whole(1, 10_000),
  retry_ms: whole(1, DAY_MS),
  callback_url: address,
};

const DIAL_CHECKS: Record<keyof Dials, Check> = {
  latency_ms: whole(0, DAY_MS),
  latency_jitter_ms: whole(0, DAY_MS),
  rules,
  seed: whole(0, 0x7fff_ffff),
  dedupe: flag,
  throttle_tps: whole(0, 1_000_000),
  accept_connections: flag,
  freeze: flag,
  enquire_link_silent: flag,
  enquire_link_every_ms: whole(0, DAY_MS),
  bind_status: whole(0, STATUS_MAX),
  partial_pdus: oneOf('off', 'fragments'),
  drop_after_n: whole(0, 1_000_000_000),
  drop_times: whole(1, 1_000_000_000),
  drop_mode: oneOf('before', 'after', 'cut'),
  max_outstanding: whole(0, 1_000_000),
  max_outstanding_status: whole(1, STATUS_MAX),
  id_form: oneOf('decimal', 'hex', 'hex_then_decimal', 'decimal_then_hex'),
  record: oneOf('full', 'counts'),
  receipts: fields(RECEIPT_CHECKS),
};

const patch = fields(DIAL_CHECKS);

/** Every problem of a change of dials, by field; none when it can be applied. */
export function dialProblems(value: unknown): FieldError[] {
  const problems: FieldError[] = [];
  patch(value, '', problems);
  return problems.map((one) => (one.field === '' ? { ...one, field: 'body' } : one));
}

/** The dials named are set, the others stay. The change must have been checked. */
export function turnDials(dials: Dials, change: DialsPatch): Dials {
  return { ...dials, ...change, receipts: { ...dials.receipts, ...change.receipts } };
}
