import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { readFact } from '../../report/events.ts';
import { newId } from '../../shared/id.ts';
import { TOPICS } from '../../shared/topics.ts';
import { ledgerEvent, messageEvent, receiptEvent, statusEvent } from './fixture.ts';

const nowMs = Date.now();
const read = (topic: string, value: unknown) =>
  readFact(
    { topic, partition: 0, offset: 0 },
    typeof value === 'string' ? Buffer.from(value) : Buffer.from(JSON.stringify(value)),
    nowMs,
  );
const reasonOf = (topic: string, value: unknown): string | null => {
  const fact = read(topic, value);
  return fact.kind === 'poison' ? fact.reason : null;
};
const message = messageEvent();
const status = statusEvent(message);

describe('a record', () => {
  test('of any bytes is a fact or poison; reading it never throws', () => {
    const topics = fc.constantFrom(...Object.values(TOPICS));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
      fc.json().map((text) => Buffer.from(text)),
      fc
        .record({ ...Object.fromEntries(Object.keys({ ...message, ...status }).map((key) => [key, fc.jsonValue()])) })
        .map((value) => Buffer.from(JSON.stringify(value))),
      fc.constant(null),
    );
    fc.assert(
      fc.property(topics, bytes, (topic, value) => {
        expect(['message', 'status', 'receipt', 'ledger', 'poison']).toContain(
          readFact({ topic, partition: 1, offset: 2 }, value, nowMs).kind,
        );
      }),
      { numRuns: 500 },
    );
  });

  test.each<[string, string, unknown]>([
    ['a message with a negative price', TOPICS.normal, { ...message, price: -1 }],
    ['a message with more pages than a column holds', TOPICS.normal, { ...message, pages: 40_000 }],
    ['a message from far ahead', TOPICS.normal, { ...message, id: newId(nowMs + 3 * 86_400_000) }],
    ['a message of no account', TOPICS.normal, { ...message, user_id: '' }],
    ['a message whose batch is no id', TOPICS.normal, { ...message, batch_id: 'x' }],
    ['a message of the year 9999', TOPICS.normal, { ...message, accepted_at: 253_370_764_800_000 }],
    ['a status with a version that no column holds', TOPICS.status, { ...status, version: 2 ** 40 }],
    ['a status without an account', TOPICS.status, { ...status, user_id: '\0' }],
    ['a receipt without any id', TOPICS.status, { ...receiptEvent(status), operator_id: '' }],
    ['a receipt with an endless id', TOPICS.status, { ...receiptEvent(status), operator_id: 'x'.repeat(300) }],
    ['a ledger entry with half a Rial', TOPICS.ledger, { ...ledgerEvent('1', 1), amount: 0.5 }],
    ['a retry', TOPICS.status, { ...message, attempt: 2 }],
  ])('that is %s is poison with a reason', (_, topic, value) => {
    expect(reasonOf(topic, value)).toMatch(/^(an|a|not|neither) /);
  });

  test('whose text PostgreSQL cannot hold is mended, not dropped: its money counts', () => {
    const fact = read(
      TOPICS.status,
      `${JSON.stringify({ ...status, error: 'x' }).replace('"x"', '"a\\u0000b\\ud800"')}`,
    );
    expect(fact.kind === 'status' && fact.event.error).toBe('a\ufffdb\ufffd');
    const sent = read(TOPICS.normal, { ...message, text: 'a\0b', client_ref: 7 });
    expect(sent.kind === 'message' && [sent.event.text, sent.event.client_ref]).toEqual(['a\ufffdb', undefined]);
  });

  test('of a decision keeps each operator id once, and none that is no text', () => {
    const fact = read(TOPICS.status, { ...status, operator_ids: ['a', 'a', 7, '', 'b'], flags: ['partial', 3] });
    expect(fact.kind === 'status' && [fact.event.operator_ids, fact.event.flags]).toEqual([['a', 'b'], ['partial']]);
  });

  test('of a receipt that bears our id alone is named by it', () => {
    const fact = read(TOPICS.status, { ...receiptEvent(status), operator_id: '', message_id: message.id });
    expect(fact.kind === 'receipt' && fact.event.operator_id).toBe(message.id);
  });
});
