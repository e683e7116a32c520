/** What an operator has on its SMPP side: its binds, its half-arrived long messages, and receipts on their way. */
import { type Assemblies, createAssemblies } from './assembly.ts';
import { type Operator, writeId } from './operator.ts';
import { type Receipt, type ReceiptStat, receiptText } from './receipts.ts';
import type { Schedule } from './schedule.ts';
import { STATUS } from './smpp-pdu.ts';
import type { ReceiptPdu } from './smpp-receipt.ts';
import type { SmppSession } from './smpp-session.ts';

/** Receipts that wait for a bind; past it the oldest are lost, and counted. */
const WAITING_MAX = 200_000;

export type SmppOperator = {
  readonly operator: Operator;
  readonly sessions: ReadonlySet<SmppSession>;
  readonly assemblies: Assemblies;
  join(session: SmppSession): void;
  /** Receipts that the peer left unanswered go to another bind. */
  leave(session: SmppSession): void;
  deliver(receipt: Receipt): void;
  /** The peer's answer to a receipt. */
  answered(receipt: Receipt, status: number): void;
  /** Receipts that wait or are unanswered. */
  receiptsWaiting(): number;
  /** Whether the link is to be dropped at this submit, by the dials drop_after_n and drop_times. */
  dropsNow(): boolean;
  close(): void;
};

const STATES: Readonly<Record<ReceiptStat, number>> = {
  ENROUTE: 1,
  DELIVRD: 2,
  EXPIRED: 3,
  DELETED: 4,
  UNDELIV: 5,
  ACCEPTD: 6,
  UNKNOWN: 7,
  REJECTD: 8,
};

/** Answers after which a receipt is sent again. */
const TRY_AGAIN: readonly number[] = [STATUS.systemError, STATUS.queueFull, STATUS.throttled, STATUS.temporary];

/** A receipt as the operator's dials write it. */
function toPdu(receipt: Receipt): ReceiptPdu | null {
  const { operator, origin } = receipt;
  if (origin === null) return null;
  const { receipts: dials, id_form } = operator.dials;
  const failed = receipt.error !== '000';
  return {
    source: origin.destination,
    destination: origin.source,
    text: dials.text ? receiptText(receipt) : '',
    udh: dials.udh ? origin.udh : new Uint8Array(),
    receiptedMessageId: dials.tlvs ? writeId(receipt.id, id_form, dials.tlv_id) : null,
    messageState: dials.tlvs ? STATES[receipt.stat] : null,
    networkErrorCode: dials.tlvs && failed ? Number(receipt.error) : null,
    userReference: dials.echo_reference ? origin.userReference : null,
  };
}

export function createSmppOperator(operator: Operator, schedule: Schedule): SmppOperator {
  const sessions = new Set<SmppSession>();
  const assemblies = createAssemblies();
  let waiting: Receipt[] = [];
  let taken = 0;
  let era = operator.era;
  let { drop_after_n: every, drop_times: times } = operator.dials;
  let submits = 0;
  let drops = 0;

  const freest = (): SmppSession | undefined => {
    const { window } = operator.dials.receipts;
    let best: SmppSession | undefined;
    for (const session of sessions) {
      if (!session.receives() || session.receiptsOut >= window) continue;
      if (best === undefined || session.receiptsOut < best.receiptsOut) best = session;
    }
    return best;
  };

  const pump = (): void => {
    while (taken < waiting.length) {
      const session = freest();
      if (session === undefined) break;
      const receipt = waiting[taken++] as Receipt;
      const pdu = toPdu(receipt);
      if (pdu === null) continue;
      operator.counters.receipts_sent++;
      session.sendReceipt(receipt, pdu);
    }
    if (taken === waiting.length || taken > 10_000) {
      waiting = waiting.slice(taken);
      taken = 0;
    }
  };

  const deliver = (receipt: Receipt): void => {
    if (receipt.era !== operator.era) return;
    if (waiting.length - taken >= WAITING_MAX) {
      taken++;
      operator.counters.receipts_missing++;
    }
    waiting.push(receipt);
    pump();
  };

  const turned = (): void => {
    const { drop_after_n, drop_times, accept_connections } = operator.dials;
    if (operator.era !== era || drop_after_n !== every || drop_times !== times) {
      every = drop_after_n;
      times = drop_times;
      submits = 0;
      drops = 0;
    }
    if (operator.era !== era) {
      era = operator.era;
      assemblies.clear();
      waiting = [];
      taken = 0;
    }
    if (!accept_connections) for (const session of [...sessions]) session.destroy();
    else for (const session of sessions) session.turned();
    pump();
  };
  const forget = operator.onTurn(turned);

  return {
    operator,
    sessions,
    assemblies,
    join: (session) => {
      sessions.add(session);
      schedule.after(0, pump);
    },
    leave: (session) => {
      sessions.delete(session);
      for (const receipt of session.takeReceipts()) deliver(receipt);
    },
    deliver,
    answered: (receipt, status) => {
      if (receipt.era === operator.era) {
        if (status === STATUS.ok) operator.counters.receipts_answered++;
        else operator.counters.receipts_refused++;
        if (TRY_AGAIN.includes(status)) schedule.after(operator.dials.receipts.retry_ms, () => deliver(receipt));
      }
      pump();
    },
    receiptsWaiting: () => {
      let out = waiting.length - taken;
      for (const session of sessions) out += session.receiptsOut;
      return out;
    },
    dropsNow: () => {
      if (every === 0 || drops >= times || ++submits < every) return false;
      submits = 0;
      drops++;
      return true;
    },
    close: () => {
      forget();
      for (const session of [...sessions]) session.destroy();
    },
  };
}
