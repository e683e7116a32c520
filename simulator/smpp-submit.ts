/** One submit_sm: read, judged, recorded, answered. */
import { type Assembly, type Part, timesAccepted, timesReceived, wholeBytes } from './assembly.ts';
import { accepts, countOutcome, type Operator, writeId } from './operator.ts';
import type { SmppOrigin } from './receipts.ts';
import type { SmppDetails } from './records.ts';
import { hashBytes, hashText } from './rng.ts';
import { THROTTLE, type Verdict } from './rules.ts';
import type { SmppOperator } from './smpp-operator.ts';
import { COMMAND, readSubmit, STATUS, type SubmitPdu, writeHeader, writeSubmitResp } from './smpp-pdu.ts';
import type { SmppDeps, SmppSession } from './smpp-session.ts';
import { type Coding, codingOf, decodeText } from './smpp-text.ts';

const EXCERPT_CHARACTERS = 20;

/** What one submit did to the message it belongs to. */
type Seen = { received: number; accepted: number; whole: boolean };

/** @param pdu a whole submit_sm; it is a view of the socket's buffer and not kept */
export function receiveSubmit(deps: SmppDeps, session: SmppSession, smpp: SmppOperator, pdu: Buffer): void {
  const { operator } = smpp;
  const { counters, dials } = operator;
  const sequence = pdu.readUInt32BE(12);
  const nowMs = Date.now();
  const submit = readSubmit(pdu);
  if (typeof submit === 'number') {
    counters.malformed++;
    session.send(writeHeader(COMMAND.submitResp, submit, sequence));
    return;
  }
  counters.received++;
  const drops = smpp.dropsNow() ? dials.drop_mode : null;
  const verdict = drops === 'before' ? DROP : judge(session, operator, submit, nowMs);
  const { outcome } = verdict;
  const accepted = accepts(outcome);
  const id = accepted ? operator.nextId() : 0;
  if (accepted) operator.countAccepted(nowMs);
  countOutcome(counters, outcome);
  const whole = record(session, smpp, submit, id, nowMs);

  const latencyMs = operator.latencyMs();
  const receiptId = dials.receipts.per_part ? id : whole;
  const planReceipt = (): void => {
    if (receiptId !== 0) deps.receipts.planSmpp(operator, receiptId, latencyMs, originOf(submit));
  };
  const { early, mode } = dials.receipts;
  if (mode !== 'none' && early) planReceipt();
  if (drops === 'after' || drops === 'cut') {
    counters.dropped++;
    if (drops === 'cut' && accepted) session.cut(writeSubmitResp(sequence, writeId(id, dials.id_form, 'response')));
    else session.destroy();
  } else answer(deps, session, operator, { sequence, id, verdict, latencyMs });
  if (mode !== 'none' && !early) planReceipt();
}

/** What becomes of the submit that a dial drops the link before. */
const DROP: Verdict = { outcome: 'disconnect_before', httpStatus: 0, smppStatus: 0 };

function judge(session: SmppSession, operator: Operator, submit: SubmitPdu, nowMs: number): Verdict {
  const { max_outstanding, max_outstanding_status } = operator.dials;
  if (max_outstanding > 0 && session.outstanding >= max_outstanding) {
    return { ...THROTTLE, smppStatus: max_outstanding_status };
  }
  return operator.judge(submit.destination.address, '', submit.number, nowMs);
}

type Answer = { sequence: number; id: number; verdict: Verdict; latencyMs: number };

function answer({ schedule }: SmppDeps, session: SmppSession, operator: Operator, asked: Answer): void {
  const { sequence, id, verdict, latencyMs } = asked;
  const { outcome, smppStatus } = verdict;
  session.outstanding++;
  // What is never answered stays outstanding, as in the sender's window.
  if (outcome === 'silent' || outcome === 'silent_drop') return;
  const go = (): void => {
    session.outstanding--;
    if (outcome === 'disconnect_before' || outcome === 'disconnect_after') session.destroy();
    else if (smppStatus === STATUS.ok) {
      session.send(writeSubmitResp(sequence, writeId(id, operator.dials.id_form, 'response')));
    } else session.send(writeHeader(COMMAND.submitResp, smppStatus, sequence));
  };
  if (latencyMs === 0) go();
  else schedule.after(latencyMs, go);
}

/**
 * Counts and records the message, or the long message that the submit is a part of.
 * @param id of the acceptance, 0 for none
 * @returns the id of the message's first part when this submit made a whole message accepted, else 0
 */
function record(session: SmppSession, smpp: SmppOperator, submit: SubmitPdu, id: number, nowMs: number): number {
  const { operator } = smpp;
  const coding = codingOf(submit.dataCoding);
  let assembly: Assembly | null = null;
  let bytes = submit.message;
  let seen: Seen = { received: 1, accepted: id === 0 ? 0 : 1, whole: true };
  if (submit.total > 1) {
    assembly = smpp.assemblies.arrive(submit);
    seen = countPart(assembly, submit, id);
    if (!seen.whole) return 0;
    bytes = wholeBytes(assembly);
  }
  const seed = hashText(submit.destination.address, submit.dataCoding);
  const slot = operator.tally.slot(hashBytes(bytes, seed));
  const before = operator.tally.accepted(slot);
  const firstId = assembly === null ? id : (assembly.parts[0] as Part).firstId;
  if (seen.received > 0) operator.tally.countReceived(slot, seen.received);
  if (seen.accepted > 0) {
    operator.tally.countAccepted(slot, firstId, seen.accepted);
    operator.countMessage(before, seen.accepted, () => keyOf(submit, decodeText(bytes, coding)));
  }
  if (operator.dials.record === 'full') see(session, operator, submit, { assembly, bytes, coding, seen, id, nowMs });
  if (assembly !== null) assembly.ids = [];
  return seen.accepted > 0 ? firstId : 0;
}

const keyOf = (submit: SubmitPdu, text: string): string => `${submit.destination.address}\n${text}`;

/** Counts a part's arrival (already in the assembly) and acceptance; says what that made of the whole. */
function countPart(assembly: Assembly, submit: SubmitPdu, id: number): Seen {
  const part = assembly.parts[submit.number - 1] as Part;
  if (id !== 0) {
    part.accepted++;
    if (part.firstId === 0) part.firstId = id;
    assembly.ids.push(id);
  }
  if (submit.userReference !== null) assembly.references.push(submit.userReference);
  if (assembly.parts.includes(undefined)) return { received: 0, accepted: 0, whole: false };
  const received = timesReceived(assembly);
  const accepted = timesAccepted(assembly);
  const seen = {
    received: received - assembly.recordedReceived,
    accepted: accepted - assembly.recordedAccepted,
    whole: true,
  };
  assembly.recordedReceived = received;
  assembly.recordedAccepted = accepted;
  return seen;
}

type Found = { assembly: Assembly | null; bytes: Buffer; coding: Coding; seen: Seen; id: number; nowMs: number };

function see(session: SmppSession, operator: Operator, submit: SubmitPdu, found: Found): void {
  const { assembly, bytes, coding, seen, id, nowMs } = found;
  const text = decodeText(bytes, coding);
  const { userReference } = submit;
  const ids = assembly === null ? (id === 0 ? [] : [id]) : assembly.ids;
  operator.records.see({
    key: keyOf(submit, text),
    messageId: userReference === null ? '' : String(userReference),
    to: submit.destination.address,
    from: submit.source.address,
    text,
    encoding: coding,
    parts: submit.total,
    atMs: nowMs,
    received: seen.received,
    accepted: seen.accepted,
    operatorIds: ids.map((one) => writeId(one, operator.dials.id_form, 'response')),
    references: assembly?.references.splice(0) ?? (userReference === null ? [] : [userReference]),
    partCounts: (assembly?.parts ?? []).map((part) => {
      const { bytes: partBytes, received, accepted } = part as Part;
      return { text: decodeText(partBytes, coding), received, accepted };
    }),
    smpp: details(session, submit),
  });
}

const details = (session: SmppSession, submit: SubmitPdu): SmppDetails => ({
  bind: session.bind ?? 'transmitter',
  service_type: submit.serviceType,
  source_addr_ton: submit.source.ton,
  source_addr_npi: submit.source.npi,
  dest_addr_ton: submit.destination.ton,
  dest_addr_npi: submit.destination.npi,
  esm_class: submit.esmClass,
  protocol_id: submit.protocolId,
  priority_flag: submit.priority,
  schedule_delivery_time: submit.scheduleDelivery,
  validity_period: submit.validity,
  registered_delivery: submit.registeredDelivery,
  data_coding: submit.dataCoding,
  concatenation: submit.concatenation,
  message_payload: submit.inPayload,
});

/** What a receipt must know of its submit; only texts that a receipt's own alphabet can hold are quoted in it. */
function originOf(submit: SubmitPdu): SmppOrigin {
  const text = codingOf(submit.dataCoding) === 'gsm7' ? decodeText(submit.message, 'gsm7') : '';
  return {
    source: submit.source,
    destination: submit.destination,
    registered: submit.registeredDelivery & 3,
    userReference: submit.userReference,
    udh: Uint8Array.from(submit.udh),
    excerpt: text.slice(0, EXCERPT_CHARACTERS).replace(/[^ -#%-?A-Za-z]/g, '.'),
  };
}
