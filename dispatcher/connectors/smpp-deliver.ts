/** What an operator sends of itself over SMPP: its receipts are handed on and answered once they are kept, the rest is counted. */
import type { SmppSettings } from '../../shared/sms/operator-smpp.ts';
import { parsePhone } from '../../shared/sms/phone.ts';
import type { ConnectorEvents, ConnectorState, OperatorReceipt } from '../connector.ts';
import type { Clock } from './http.ts';
import { readReceipt, receiptId, receiptTime } from './receipt.ts';
import type { References } from './references.ts';
import { readDeliverSm } from './smpp-pdu.ts';
import { ESME_RINVCMDLEN, ESME_RMSGQFUL, ESME_ROK, ESME_RSYSERR } from './statuses.ts';

/** Receipts that wait for `onReceipt`; past it the operator is told to send them again. */
const WAITING_MAX = 10_000;

export type Deliveries = {
  /** Answers a deliver_sm by its command status. */
  answer(frame: Buffer, respond: (status: number) => void): Promise<void>;
  /** Receipts that are not kept yet, and so not answered. */
  readonly waiting: number;
};

/**
 * @param references to our ids, of which a receipt may bear one
 * @param counters counts up its receipts, and what it could not use
 */
export function createDeliveries(
  settings: SmppSettings,
  onReceipt: ConnectorEvents['onReceipt'],
  references: References,
  counters: NonNullable<ConnectorState['counters']>,
  clock: Clock,
): Deliveries {
  let waiting = 0;

  /** @returns a status to answer with at once where there is nothing to hand on */
  const readOperatorReceipt = (frame: Buffer): OperatorReceipt | number => {
    const deliver = readDeliverSm(frame);
    if (!deliver) {
      counters.malformed += 1;
      return ESME_RINVCMDLEN;
    }
    const receipt = readReceipt(deliver);
    if (!receipt) {
      counters.messagesIgnored += 1;
      return ESME_ROK;
    }
    const operatorId = receiptId(receipt, settings.receiptId);
    if (receipt.status === null || operatorId === '') {
      counters.receiptsIgnored += 1;
      return ESME_ROK;
    }
    const messageId = receipt.reference === null ? undefined : references.find(receipt.reference, deliver.source);
    const phone = parsePhone(deliver.source);
    return {
      operatorId,
      ...(phone === null ? {} : { phone }),
      ...(messageId === undefined ? {} : { messageId }),
      status: receipt.status,
      error: receipt.status === 'delivered' ? null : receipt.error,
      at: receiptTime(receipt.doneAt, clock.now()),
    };
  };

  return {
    get waiting() {
      return waiting;
    },
    /** The answer is the operator's leave to forget the receipt, so it waits until the receipt is kept here. */
    answer: async (frame, respond) => {
      const receipt = readOperatorReceipt(frame);
      if (typeof receipt === 'number') {
        respond(receipt);
        return;
      }
      if (waiting >= WAITING_MAX) {
        counters.receiptsRefused += 1;
        respond(ESME_RMSGQFUL);
        return;
      }
      waiting += 1;
      try {
        const kept = onReceipt(receipt);
        if (kept) await kept;
        counters.receipts += 1;
        respond(ESME_ROK);
      } catch {
        counters.receiptsRefused += 1;
        respond(ESME_RSYSERR);
      } finally {
        waiting -= 1;
      }
    },
  };
}
