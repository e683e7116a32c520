/** Delivery receipts on their way to the report, whichever connector brought them. */
import type { ReceiptEvent } from '../shared/events.ts';
import { failpoint } from '../shared/failpoint.ts';
import type { Producer } from '../shared/kafka-producer.ts';
import { TOPICS } from '../shared/topics.ts';
import type { OperatorReceipt } from './connector.ts';

/** Resolves when Kafka has it: only then may the operator be told that it was taken. */
export type PublishReceipt = (operator: string, receipt: OperatorReceipt) => Promise<void>;

export function receiptPublisher(producer: Producer): PublishReceipt {
  return (operator, receipt) => {
    const event: ReceiptEvent = {
      kind: 'receipt',
      operator,
      operator_id: receipt.operatorId,
      message_id: receipt.messageId,
      phone: receipt.phone,
      status: receipt.status,
      error: receipt.error,
      at: receipt.at,
    };
    failpoint('dispatcher.receipt_before_produce');
    return producer.send({ topic: TOPICS.status, value: JSON.stringify(event) });
  };
}
