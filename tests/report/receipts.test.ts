import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { Fact } from '../../report/events.ts';
import { reportMetrics } from '../../report/measure.ts';
import { readMessage } from '../../report/message.ts';
import { waitingReceipts } from '../../report/receipts.ts';
import { joinLateMatches, type Written } from '../../report/write.ts';
import { newId } from '../../shared/id.ts';
import { createMetrics } from '../../shared/metrics.ts';
import {
  createDatabase,
  expectCoherent,
  factsOf,
  messageEvent,
  newAccount,
  receiptEvent,
  receiptsOf,
  statusEvent,
  type TestDatabase,
  writeFacts,
} from './fixture.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await createDatabase();
});
afterAll(() => db.close());

const write = (...facts: Fact[]): Promise<Written> => writeFacts(db.writer, facts);

async function statusOf(id: string): Promise<string> {
  await expectCoherent(db.sql);
  return (await readMessage(db.store, id)).status;
}
async function waiting(): Promise<number> {
  const byOperator = await waitingReceipts(db.sql);
  return [...byOperator.values()].reduce((sum, count) => sum + count, 0);
}

const sent = () => {
  const message = messageEvent({ user_id: newAccount() });
  return { message, status: statusEvent(message) };
};

describe('a receipt', () => {
  test('moves a sent message forward, and stands in its timeline', async () => {
    const { message, status } = sent();
    await write(...factsOf(message, status));
    const written = await write(...factsOf(receiptEvent(status)));
    expect(receiptsOf(written)).toEqual({ matched: 1, waited: 0, early: 0, doubled: 0, after_refund: 0 });
    expect(await statusOf(message.id)).toBe('delivered');
    const { timeline } = await readMessage(db.store, message.id);
    expect(timeline.map(({ event }) => event)).toEqual(['queued', 'sent', 'delivered']);
  });

  test('that comes before its message waits for it', async () => {
    const { message, status } = sent();
    expect(
      receiptsOf(await write(...factsOf(receiptEvent(status, { status: 'undelivered', error: 'EXPIRED' })))),
    ).toMatchObject({
      early: 1,
      matched: 0,
    });
    expect(await waiting()).toBe(1);
    expect(receiptsOf(await write(...factsOf(receiptEvent(status))))).toMatchObject({ early: 0, doubled: 1 });
    await write(...factsOf(message));
    expect(await waiting()).toBe(1);
    expect(receiptsOf(await write(...factsOf(status)))).toMatchObject({ matched: 1, waited: 1 });
    expect(await waiting()).toBe(0);
    expect(await statusOf(message.id)).toBe('undelivered');
  });

  test('in the same batch as its message finds it, in either order', async () => {
    const [a, b] = [sent(), sent()];
    await write(...factsOf(a.message, a.status, receiptEvent(a.status), receiptEvent(b.status), b.status, b.message));
    expect(await statusOf(a.message.id)).toBe('delivered');
    expect(await statusOf(b.message.id)).toBe('delivered');
    expect(await waiting()).toBe(0);
  });

  test('that comes twice is counted and changes nothing, in one batch or in two', async () => {
    const { message, status } = sent();
    const receipt = receiptEvent(status);
    await write(...factsOf(message, status));
    expect(receiptsOf(await write(...factsOf(receipt, { ...receipt, at: receipt.at + 5 })))).toMatchObject({
      matched: 1,
      doubled: 1,
    });
    expect(receiptsOf(await write(...factsOf({ ...receipt, status: 'undelivered' })))).toMatchObject({
      matched: 0,
      doubled: 1,
    });
    expect(await statusOf(message.id)).toBe('delivered');
    const { timeline } = await readMessage(db.store, message.id);
    expect(timeline).toHaveLength(3);
  });

  test('of one part among several decides only when all are delivered, or this one is not', async () => {
    const message = messageEvent({ user_id: newAccount(), pages: 3 });
    const ids = [1, 2, 3].map((part) => `${message.id}.${part}`);
    const status = statusEvent(message, { operator_ids: ids });
    const part = (i: number, over = {}) => receiptEvent(status, { operator_id: ids[i] as string, ...over });
    await write(...factsOf(message, status, part(0)));
    expect(await statusOf(message.id)).toBe('sent');
    await write(...factsOf(part(2)));
    expect(await statusOf(message.id)).toBe('sent');
    await write(...factsOf(part(1)));
    expect(await statusOf(message.id)).toBe('delivered');

    const other = messageEvent({ user_id: newAccount() });
    const otherIds = [1, 2].map((n) => `${other.id}.${n}`);
    const otherStatus = statusEvent(other, { operator_ids: otherIds });
    const failed = receiptEvent(otherStatus, { operator_id: otherIds[1] as string, status: 'undelivered' });
    await write(...factsOf(failed));
    await write(...factsOf(other, otherStatus, receiptEvent(otherStatus)));
    expect(await statusOf(other.id)).toBe('undelivered');
  });

  test('after a refund is history: shown and counted, no status and no money', async () => {
    const message = messageEvent({ user_id: newAccount() });
    const failed = statusEvent(message, { status: 'failed', posted: 0, flags: ['perhaps_sent'], version: 2 });
    await write(...factsOf(message, failed));
    const receipt = receiptEvent(failed, { operator_id: 'late-one', message_id: message.id });
    expect(receiptsOf(await write(...factsOf(receipt)))).toMatchObject({ matched: 1, after_refund: 1 });
    expect(await statusOf(message.id)).toBe('failed');
    const { timeline, posted } = await readMessage(db.store, message.id);
    expect(posted).toBe(0);
    expect(timeline.map(({ event }) => event)).toEqual(['queued', 'failed', 'delivered']);
  });

  test('that bears our own id finds the message by it, also before the message came', async () => {
    const { message, status } = sent();
    const receipt = receiptEvent(status, { operator_id: 'unheard-of', message_id: message.id });
    await write(...factsOf(receipt));
    expect(await waiting()).toBe(1);
    await write(...factsOf(message));
    await write(...factsOf({ ...status, operator_ids: [] }));
    expect(await waiting()).toBe(0);
    expect(await statusOf(message.id)).toBe('delivered');
  });

  test('of an operator is not for the message of another with the same id', async () => {
    const message = messageEvent({ user_id: newAccount(), operator: 'MTN' });
    const status = statusEvent(message, { operator_ids: ['7001'] });
    await write(...factsOf(message, status));
    const before = await waiting();
    await write(...factsOf(receiptEvent(status, { operator: 'Rightel' })));
    expect(await waiting()).toBe(before + 1);
    expect(await statusOf(message.id)).toBe('sent');
  });

  test('is for the newest message when an operator gives an id again', async () => {
    const yesterday = Date.now() - 86_400_000;
    const old = messageEvent({ user_id: newAccount(), accepted_at: yesterday, id: newId(yesterday) });
    const young = messageEvent({ user_id: newAccount() });
    const status = statusEvent(young, { operator_ids: ['again'] });
    await write(...factsOf(old, statusEvent(old, { operator_ids: ['again'] }), young, status));
    await write(...factsOf(receiptEvent(status)));
    expect(await statusOf(old.id)).toBe('sent');
    expect(await statusOf(young.id)).toBe('delivered');
  });

  test('whose message another writer brought unseen is joined a moment later', async () => {
    const { message, status } = sent();
    await write(...factsOf(receiptEvent(status)));
    const early = await waiting();
    // As if the two had been written at one moment, neither seeing the other's rows.
    await db.sql`UPDATE receipts_waiting SET operator_id = 'hidden' WHERE operator_id = ${status.operator_ids[0] ?? ''}`;
    await write(...factsOf(message, status));
    await db.sql`UPDATE receipts_waiting SET operator_id = ${status.operator_ids[0] ?? ''} WHERE operator_id = 'hidden'`;
    expect(await statusOf(message.id)).toBe('sent');
    expect(receiptsOf(await joinLateMatches(db.writer))).toMatchObject({ matched: 1, waited: 1 });
    expect(await statusOf(message.id)).toBe('delivered');
    expect(await waiting()).toBe(early - 1);
  });
});

test('what waits is told by operator, and no more once nothing does', async () => {
  const message = messageEvent({ operator: 'Rightel' });
  const status = statusEvent(message, { operator: 'Rightel' });
  await write(...factsOf(receiptEvent(status, { operator_id: 'w-1' }), receiptEvent(status, { operator_id: 'w-2' })));
  const counted = await waitingReceipts(db.sql);
  expect(counted.get('Rightel')).toBeGreaterThanOrEqual(2);
  const metrics = createMetrics('report');
  const { waiting: tell } = reportMetrics(metrics);
  tell(counted);
  expect(await metrics.text()).toContain(`jsms_report_receipts_waiting{operator="Rightel"} ${counted.get('Rightel')}`);
  tell(new Map());
  expect(await metrics.text()).not.toContain('Rightel');
});

test('what became of receipts is counted by operator', async () => {
  const at = (operator: string) => {
    const message = messageEvent({ user_id: newAccount(), operator });
    const status = statusEvent(message);
    return { message, status, receipt: receiptEvent(status) };
  };
  const [mtn, rightel] = [at('MTN'), at('Rightel')];
  const refunded = statusEvent(at('MTN').message, { status: 'failed', posted: 0, flags: ['perhaps_sent'], version: 2 });
  await write(...factsOf(mtn.message, mtn.status, refunded));
  const late = receiptEvent(refunded, { operator_id: 'late-two', message_id: refunded.id });
  const written = await write(
    ...factsOf(mtn.receipt, { ...mtn.receipt }, late, rightel.receipt, { ...rightel.receipt }),
  );
  expect(receiptsOf(written, 'MTN')).toEqual({ matched: 2, waited: 0, early: 0, doubled: 1, after_refund: 1 });
  expect(receiptsOf(written, 'Rightel')).toEqual({ matched: 0, waited: 0, early: 1, doubled: 1, after_refund: 0 });
  const found = await write(...factsOf(rightel.message, rightel.status));
  expect([...found.receipts]).toEqual([['Rightel', { matched: 1, waited: 1, early: 0, doubled: 0, after_refund: 0 }]]);

  const metrics = createMetrics('report');
  const measured = reportMetrics(metrics);
  measured.written(written);
  measured.written(found);
  measured.unmatched('MTN', 3);
  measured.unknownSettled('Rightel');
  const lines = (await metrics.text()).split('\n').filter((line) => line.startsWith('jsms_report_receipts_total{'));
  const of = (operator: string, outcome: string, count: number) =>
    `jsms_report_receipts_total{operator="${operator}",outcome="${outcome}"} ${count}`;
  for (const line of [
    of('MTN', 'matched', 2),
    of('MTN', 'after_refund', 1),
    of('MTN', 'unmatched', 3),
    of('Rightel', 'matched', 1),
    of('Rightel', 'early', 1),
    of('Rightel', 'waited', 1),
    of('Rightel', 'settled_unknown', 1),
  ])
    expect(lines).toContain(line);
});
