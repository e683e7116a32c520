/** Delivery receipts on their way to the report, whichever connector brought them. */

import { AppError } from '../shared/error.ts';
import type { ReceiptEvent } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
import type { Producer } from '../shared/kafka-producer.ts';
import type { OperatorSettings } from '../shared/sms/operators.ts';
import { TOPICS } from '../shared/topics.ts';
import type { OperatorReceipt } from './connector.ts';

/** Resolves when Kafka has it: only then may the operator be told that it was taken. Rejects where it cannot be kept. */
export type PublishReceipt = (operator: string, receipt: OperatorReceipt) => Promise<void>;

/** Records that wait for Kafka, past which a receipt is refused: the operator sends it again. */
const WAITING_MAX = 10_000;

/** True where an operator gets a long message in parts, of which each has a receipt of its own. */
const inParts = (operators: readonly OperatorSettings[], name: string): boolean =>
  operators.some((one) => one.name === name && one.connector === 'smpp' && one.smpp.longMessage !== 'payload');

/** @param operators as the file has them now */
export function receiptPublisher(producer: Producer, operators: () => readonly OperatorSettings[]): PublishReceipt {
  return async (operator, receipt) => {
    if (producer.waiting > WAITING_MAX) throw new AppError('unavailable', 'Receipts cannot be kept at the moment.');
    const event: ReceiptEvent = {
      kind: 'receipt',
      operator,
      operator_id: receipt.operatorId,
      message_id: receipt.messageId,
      phone: receipt.phone,
      part: inParts(operators(), operator) || undefined,
      status: receipt.status,
      error: receipt.error,
      at: receipt.at,
    };
    failpoint('dispatcher.receipt_before_produce');
    return producer.send({ topic: TOPICS.status, value: JSON.stringify(event) });
  };
}
