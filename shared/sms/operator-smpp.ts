/** The `smpp` section of an operator in operator.json: SMPP 3.4. docs/OPERATORS.md lists every setting. */
import {
  type ByLane,
  byLane,
  choice,
  type Env,
  entriesOf,
  fieldsOf,
  integer,
  type Place,
  type Rule,
  seconds,
  secret,
  text,
} from './fields.ts';
import type { StatusOverrides } from './operator-status.ts';
import { SENDER } from './sender.ts';

/** How an operator writes its message ids: `as_is` compares them as texts, the others as numbers. */
export type IdForm = 'as_is' | 'hex' | 'decimal';
export type LongMessage = 'udh8' | 'udh16' | 'payload';
/** What data_coding 0 means at this SMSC. */
export type DefaultAlphabet = 'gsm7' | 'latin1' | 'ascii';

export type SmppTls = {
  /** For SNI and the certificate's check; null for the host. */
  serverName: string | null;
  /** Absolute path of a PEM file that is trusted besides the system's authorities. */
  caFile: string | null;
};

export type SmppSettings = {
  host: string;
  port: number;
  systemId: string;
  password: string;
  systemType: string;
  addressRange: string;
  bind: 'transceiver' | 'transmitter_receiver';
  /** Sessions, or pairs of them, for each dispatcher. */
  binds: number;
  /** Unanswered submits per bind. */
  windowSize: number;
  tls: SmppTls | null;
  /** The line that every message is from, or by the message's sender; who is not there is its own. */
  sourceAddress: string | Readonly<Record<string, string>>;
  /** Null: by the form of the address (`addressOf`). */
  sourceTon: number | null;
  sourceNpi: number | null;
  destTon: number;
  destNpi: number;
  /** `989…`, `+989…` or `09…`. */
  destFormat: 'digits' | 'plus' | 'national';
  serviceType: string;
  /** The octet of submit_sm; 0 asks for no receipts. */
  registeredDelivery: number;
  /** 0 leaves the field empty: the operator's own. */
  validityPeriodMs: ByLane<number>;
  /** 0 to 3. */
  priority: ByLane<number>;
  defaultAlphabet: DefaultAlphabet;
  longMessage: LongMessage;
  enquireLinkMs: number;
  connectTimeoutMs: number;
  /** From a request's write to its answer; a submit without one is `unknown`. */
  responseTimeoutMs: number;
  reconnect: { minMs: number; maxMs: number };
  receiptId: { response: IdForm; receipt: IdForm };
  /** From the operator's `status_overrides`. */
  statuses: StatusOverrides;
  /** From the operator's `wrong_network_codes`. */
  wrongNetwork: readonly number[];
};

/** ASCII of at most so many characters: the C-octet strings of SMPP 3.4. */
const octets = (min: number, max: number): Rule<string> =>
  text(new RegExp(`^[\\x20-\\x7e]{${min},${max}}$`), `${min} to ${max} printable ASCII characters`);

const HOST: Rule<string> = text(
  /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})$|^[0-9a-f:.]{2,45}$/i,
  'a host name or an address',
);

/** SMPP 3.4, 5.2.5 and 5.2.6. */
const TON = integer(0, 6);
const NPI = integer(0, 18);
const orAuto =
  (rule: Rule<number>): Rule<number | null> =>
  (value, place) =>
    value === 'auto' ? null : rule(value, place);

export const smppSettings =
  (env: Env | null, statuses: StatusOverrides, wrongNetwork: readonly number[]): Rule<SmppSettings> =>
  (value, place) => {
    const fields = fieldsOf(value, place);
    if (!fields) return undefined;
    const settings: SmppSettings = {
      host: fields.need('host', HOST),
      port: fields.read('port', integer(1, 65_535), 2775),
      systemId: fields.need('system_id', secret(env, octets(1, 15))),
      // SMPP 3.4 allows 8 characters; servers that take more are common.
      password: fields.need('password', secret(env, octets(0, 64))),
      systemType: fields.read('system_type', octets(0, 12), ''),
      addressRange: fields.read('address_range', octets(0, 40), ''),
      bind: fields.read('bind', choice('transceiver', 'transmitter_receiver'), 'transceiver'),
      binds: fields.read('binds', integer(1, 32), 1),
      windowSize: fields.read('window', integer(1, 1_000), 100),
      tls: fields.read('tls', smppTls, null),
      sourceAddress: fields.read<SmppSettings['sourceAddress']>('source_address', sourceAddress, {}),
      sourceTon: fields.read('source_ton', orAuto(TON), null),
      sourceNpi: fields.read('source_npi', orAuto(NPI), null),
      destTon: fields.read('dest_ton', TON, 1),
      destNpi: fields.read('dest_npi', NPI, 1),
      destFormat: fields.read('dest_format', choice('digits', 'plus', 'national'), 'digits'),
      serviceType: fields.read('service_type', octets(0, 5), ''),
      registeredDelivery: fields.read('registered_delivery', integer(0, 31), 1),
      validityPeriodMs: fields.read('validity_period_s', byLane(seconds(0, 604_800), NO_VALIDITY), NO_VALIDITY),
      priority: fields.read('priority', byLane(integer(0, 3), PRIORITY), PRIORITY),
      defaultAlphabet: fields.read('default_alphabet', choice('gsm7', 'latin1', 'ascii'), 'gsm7'),
      longMessage: fields.read('long_message', choice('udh8', 'udh16', 'payload'), 'udh8'),
      enquireLinkMs: fields.read('enquire_link_s', seconds(1, 3_600), 30_000),
      connectTimeoutMs: fields.read('connect_timeout_ms', integer(100, 120_000), 5_000),
      responseTimeoutMs: fields.read('response_timeout_ms', integer(100, 120_000), 10_000),
      reconnect: fields.read('reconnect', reconnect, { minMs: 500, maxMs: 30_000 }),
      receiptId: fields.read('receipt_id', receiptId, { response: 'as_is', receipt: 'as_is' }),
      statuses,
      wrongNetwork,
    };
    fields.end();
    return settings;
  };

const NO_VALIDITY: ByLane<number> = { express: 0, normal: 0 };
const PRIORITY: ByLane<number> = { express: 1, normal: 0 };

const ADDRESSES_MAX = 10_000;

/** One sender for all, or sender of the message → sender at this operator. */
const sourceAddress: Rule<SmppSettings['sourceAddress']> = (value, place) => {
  if (typeof value === 'string') return SENDER(value, place);
  if (typeof value !== 'object' || value === null) return place.refuse('must be a sender, or an object of them');
  const entries = entriesOf(value, place);
  if (!entries) return undefined;
  if (entries.length > ADDRESSES_MAX) return place.refuse(`must have at most ${ADDRESSES_MAX} entries`);
  const addresses: Record<string, string> = {};
  for (const [sender, written] of entries) {
    const at = place.inside(sender);
    const address = SENDER(sender, at) && SENDER(written, at);
    if (address !== undefined) addresses[sender] = address;
  }
  return addresses;
};

/** `true`, `false`, or what a private authority or another name needs. The certificate is always checked. */
const smppTls: Rule<SmppTls | null> = (value, place) => {
  if (value === false) return null;
  if (value === true) return { serverName: null, caFile: null };
  if (typeof value !== 'object' || value === null) return place.refuse('must be true, false or an object');
  const fields = fieldsOf(value, place);
  if (!fields) return undefined;
  const tls: SmppTls = {
    serverName: fields.read<string | null>('server_name', HOST, null),
    // A service's working directory is its own folder: only an absolute path means the same everywhere.
    caFile: fields.read<string | null>('ca_file', text(/^(?:\/|[A-Za-z]:[\\/]).{1,1000}$/, 'an absolute path'), null),
  };
  fields.end();
  return tls;
};

const reconnect: Rule<{ minMs: number; maxMs: number }> = (value, place) => {
  const fields = fieldsOf(value, place);
  if (!fields) return undefined;
  const minMs = fields.read('min_ms', integer(10, 600_000), 500);
  const maxMs = fields.read('max_ms', integer(10, 600_000), Math.max(30_000, minMs));
  fields.end();
  return minMs <= maxMs ? { minMs, maxMs } : place.refuse('min_ms is more than max_ms');
};

const receiptId: Rule<{ response: IdForm; receipt: IdForm }> = (value: unknown, place: Place) => {
  const fields = fieldsOf(value, place);
  if (!fields) return undefined;
  const form = choice('as_is', 'hex', 'decimal');
  const forms = {
    response: fields.read('response', form, 'as_is'),
    receipt: fields.read('receipt', form, 'as_is'),
  } as const;
  fields.end();
  return (forms.response === 'as_is') === (forms.receipt === 'as_is')
    ? forms
    : place.refuse('name the form of both, or of neither: a text and a number are never the same id');
};
