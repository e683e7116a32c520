/** Delivery receipts: which come, when, how often and with which end; SMPP and HTTP differ only in how they travel. */
import { type Callback, createCallback } from './callback.ts';
import { type Operator, writeId } from './operator.ts';
import { draw } from './rng.ts';
import type { Schedule } from './schedule.ts';
import type { Address } from './smpp-pdu.ts';

export type ReceiptStat = 'DELIVRD' | 'UNDELIV' | 'EXPIRED' | 'DELETED' | 'REJECTD' | 'ENROUTE' | 'ACCEPTD' | 'UNKNOWN';

/** Of the SMPP submit that a receipt speaks of. */
export type SmppOrigin = {
  /** The receipt goes the other way: from the message's destination to its source. */
  source: Address;
  destination: Address;
  /** registered_delivery's two lowest bits: 0 none, 1 always, 2 after a failure only, 3 after a success only. */
  registered: number;
  userReference: number | null;
  /** With its length octet; empty for none. */
  udh: Uint8Array;
  /** The first twenty characters of the message. */
  excerpt: string;
};

export type Receipt = {
  operator: Operator;
  /** The operator's era when it was planned: after a reset it is stale. */
  era: number;
  id: number;
  stat: ReceiptStat;
  /** GSM error code, three digits; 000 for none. */
  error: string;
  submittedMs: number;
  doneMs: number;
  origin: SmppOrigin | null;
};

export type Receipts = {
  /** @param answerMs from now to the submit's answer; an `early` receipt goes out now, the others count from there */
  planHttp(operator: Operator, id: number, answerMs: number): void;
  planSmpp(operator: Operator, id: number, answerMs: number, origin: SmppOrigin): void;
  /** Hands an SMPP receipt to a bind of the operator; the SMPP side sets it when it starts. */
  deliver: (receipt: Receipt) => void;
  close(): void;
};

const ERROR_OF: Record<ReceiptStat, string> = {
  DELIVRD: '000',
  UNDELIV: '001',
  EXPIRED: '002',
  DELETED: '003',
  REJECTD: '004',
  ENROUTE: '000',
  ACCEPTD: '000',
  UNKNOWN: '000',
};

const wanted = (registered: number, stat: ReceiptStat): boolean =>
  registered === 1 || (registered === 2 && stat !== 'DELIVRD') || (registered === 3 && stat === 'DELIVRD');

export function createReceipts(schedule: Schedule): Receipts {
  const callback: Callback = createCallback(schedule);

  const plan = (
    operator: Operator,
    id: number,
    answerMs: number,
    origin: SmppOrigin | null,
    send: (receipt: Receipt) => void,
  ): void => {
    const { receipts: dials, seed } = operator.dials;
    const { era } = operator;
    const submittedMs = Date.now();
    // Drawn by the count of acceptances: ids begin elsewhere in each run, and the seed must say the same in each.
    const nth = operator.counters.accepted;
    if (draw(seed, 'receipt missing', nth) < dials.share_missing) {
      operator.counters.receipts_missing++;
      return;
    }
    const undelivered = draw(seed, 'receipt undelivered', nth) < dials.share_undelivered;
    const stat: ReceiptStat = undelivered ? dials.undelivered_stat : 'DELIVRD';
    const delayMs = dials.delay_ms + Math.floor(draw(seed, 'receipt delay', nth) * (dials.jitter_ms + 1));
    const make = (of: ReceiptStat): Receipt => ({
      operator,
      era,
      id,
      stat: of,
      error: ERROR_OF[of],
      submittedMs,
      doneMs: Date.now(),
      origin,
    });
    const go = (): void => {
      if (dials.intermediate !== 'none') send(make(dials.intermediate));
      if (origin !== null && !wanted(origin.registered, stat)) return;
      send(make(stat));
      if (dials.double) send(make(stat));
    };
    if (dials.early) go();
    else schedule.after(answerMs + delayMs, go);
  };

  const receipts: Receipts = {
    planHttp: (operator, id, answerMs) => {
      const { mode, callback_url } = operator.dials.receipts;
      if (mode === 'none' || callback_url === '') return;
      plan(operator, id, answerMs, null, (receipt) => callback.post(receipt, callback_url));
    },
    planSmpp: (operator, id, answerMs, origin) => {
      if (operator.dials.receipts.mode === 'none' || origin.registered === 0) return;
      plan(operator, id, answerMs, origin, (receipt) => receipts.deliver(receipt));
    },
    deliver: () => undefined,
    close: () => callback.close(),
  };
  return receipts;
}

/** `id:… sub:… dlvrd:… submit date:… done date:… stat:… err:… text:…`, as SMPP 3.4's appendix B writes it. */
export function receiptText(receipt: Receipt): string {
  const { operator, stat } = receipt;
  const id = writeId(receipt.id, operator.dials.id_form, 'receipt');
  const delivered = stat === 'DELIVRD' ? '001' : '000';
  const date = (ms: number): string => new Date(ms).toISOString().replace(/[-T:]/g, '').slice(2, 12);
  return `id:${id} sub:001 dlvrd:${delivered} submit date:${date(receipt.submittedMs)} done date:${date(receipt.doneMs)} stat:${stat} err:${receipt.error} text:${receipt.origin?.excerpt ?? ''}`;
}
