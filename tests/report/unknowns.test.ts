import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readMessage } from '../../report/message.ts';
import { type Proven, provenUnknowns, settlement } from '../../report/unknowns.ts';
import type { MessageEvent, ReceiptEvent, StatusEvent } from '../../shared/events.ts';
import {
  createDatabase,
  factsOf,
  messageEvent,
  newAccount,
  receiptEvent,
  statusEvent,
  type TestDatabase,
  writeFacts,
} from './fixture.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await createDatabase();
});
afterAll(() => db.close());

let number = 0;
const open = (status: 'unknown' | 'retrying', over: Partial<MessageEvent> = {}) => {
  const phone = `+98912${String(number++).padStart(7, '0')}`;
  const message = messageEvent({ user_id: newAccount(), phone, ...over });
  return { message, status: statusEvent(message, { status, operator_ids: [] }) };
};
const proven = async (...messages: MessageEvent[]) => {
  const rows = await provenUnknowns(db.sql);
  return rows
    .filter(({ id }) => messages.some((m) => m.id === id))
    .map(({ id, operator_ids }) => [id, ...operator_ids]);
};
/** As if the receipts had come a while ago. */
const age = () => db.sql`UPDATE receipts_waiting SET received_at = received_at - interval '6 seconds'`;
const ageParts = () =>
  Promise.all([
    db.sql`UPDATE receipts_waiting SET received_at = received_at - interval '16 seconds'`,
    db.sql`UPDATE exceptions SET receipted_at = receipted_at - interval '16 seconds'`,
  ]);
const backdate = (of: MessageEvent) =>
  db.sql`UPDATE messages SET created_at = created_at - interval '1 minute' WHERE id = ${of.id}`;
const fromHandset = (status: StatusEvent, phone: string, operator_id: string) =>
  receiptEvent(status, { operator_id, phone });

describe('a receipt proves an open unknown', () => {
  test.each(['unknown', 'retrying'] as const)('that is %s, when it bears our own id', async (state) => {
    const { message, status } = open(state);
    await writeFacts(db.writer, factsOf(message, status));
    expect(await proven(message)).toEqual([]);
    await writeFacts(db.writer, factsOf(receiptEvent(status, { operator_id: 'op-1', message_id: message.id })));
    expect(await proven(message)).toEqual([[message.id, 'op-1']]);
    await writeFacts(db.writer, factsOf(statusEvent(message, { version: 2 })));
    expect(await proven(message)).toEqual([]);
  });

  test('by its number, a moment later, when that number has but one', async () => {
    const { message, status } = open('unknown');
    await writeFacts(db.writer, factsOf(message, status));
    await backdate(message);
    await writeFacts(db.writer, factsOf(fromHandset(status, message.phone, 'op-2')));
    expect(await proven(message)).toEqual([]);
    await age();
    expect(await proven(message)).toEqual([[message.id, 'op-2']]);
    const twin = open('unknown', { phone: message.phone });
    await writeFacts(db.writer, factsOf(twin.message, twin.status));
    expect(await proven(message, twin.message)).toEqual([]);
    // The twin is given up first: whose receipt it was is as unclear as before.
    await backdate(twin.message);
    const given = {
      status: 'failed',
      version: 2,
      error: 'no_answer',
      flags: ['perhaps_sent'],
      at: Date.now(),
    } as const;
    await writeFacts(db.writer, factsOf(statusEvent(twin.message, { ...given, flags: [...given.flags] })));
    expect(await proven(message, twin.message)).toEqual([]);
  });
});

describe('a receipt of one part of an unknown', () => {
  const long = { pages: 3, price: 1_000 };
  const partOf = (status: StatusEvent, operator_id: string, over: Partial<ReceiptEvent> = {}) =>
    receiptEvent(status, { operator_id, part: true, ...over });

  test('proves that part: those of the others are waited for, and then its share is posted', async () => {
    const { message, status } = open('unknown', long);
    const part = (id: string) => partOf(status, id, { message_id: message.id });
    await writeFacts(db.writer, factsOf(message, status, part('long-1')));
    expect(await proven(message)).toEqual([]);
    await ageParts();
    expect(await proven(message)).toEqual([[message.id, 'long-1']]);
    await writeFacts(db.writer, factsOf(part('long-3')));
    expect(await proven(message)).toEqual([[message.id, 'long-1', 'long-3']]);
    const [row] = (await provenUnknowns(db.sql)).filter(({ id }) => id === message.id);
    expect(settlement(row as Proven)).toMatchObject({
      operator_ids: ['long-1', 'long-3'],
      amount: 667,
      flags: ['partial'],
    });
    // Settled so, it is not delivered before the last part's receipt says so.
    const ids = ['long-1', 'long-3'];
    await writeFacts(
      db.writer,
      factsOf(statusEvent(message, { version: 2, operator_ids: ids, posted: 667, flags: ['partial'] })),
    );
    expect((await readMessage(db.store, message.id)).status).toBe('sent');
    await writeFacts(db.writer, factsOf(part('long-2')));
    expect(await readMessage(db.store, message.id)).toMatchObject({ status: 'delivered', posted: 667 });
  });

  test('and those of all the others settle it at once, whole', async () => {
    const { message, status } = open('unknown', long);
    const parts = ['all-1', 'all-2', 'all-3'].map((id) => partOf(status, id, { message_id: message.id }));
    await writeFacts(db.writer, factsOf(message, status, ...parts));
    const [row] = (await provenUnknowns(db.sql)).filter(({ id }) => id === message.id);
    expect(settlement(row as Proven)).toMatchObject({
      operator_ids: ['all-1', 'all-2', 'all-3'],
      amount: 0,
      flags: [],
    });
  });

  test('spares the second submit of what waits for it', async () => {
    const { message, status } = open('retrying', long);
    await writeFacts(db.writer, factsOf(message, status, partOf(status, 'again-1', { message_id: message.id })));
    expect(await proven(message)).toEqual([[message.id, 'again-1']]);
  });

  test('belongs to it by its number as well, no more of them than it has pages', async () => {
    const { message, status } = open('unknown', { pages: 2 });
    await writeFacts(db.writer, factsOf(message, status));
    await backdate(message);
    const part = (id: string) => partOf(status, id, { phone: message.phone });
    await writeFacts(db.writer, factsOf(part('near-1')));
    await age();
    expect(await proven(message)).toEqual([]);
    await writeFacts(db.writer, factsOf(part('near-2')));
    await age();
    expect(await proven(message)).toEqual([[message.id, 'near-1', 'near-2']]);
    await writeFacts(db.writer, factsOf(part('near-3')));
    await age();
    expect(await proven(message)).toEqual([[message.id, 'near-1', 'near-2']]);
    // Settled in part, its other parts' receipts prove no later message to the same number.
    await writeFacts(
      db.writer,
      factsOf(statusEvent(message, { version: 2, operator_ids: ['near-1'], flags: ['partial'] })),
    );
    const next = open('unknown', { phone: message.phone });
    await writeFacts(db.writer, factsOf(next.message, next.status));
    await backdate(next.message);
    await ageParts();
    expect(await proven(next.message)).toEqual([]);
  });

  test.each<[Partial<Proven>, number, string[]]>([
    [{}, 334, ['partial']],
    [{ operator_ids: ['1', '2'] }, 667, ['partial']],
    [{ operator_ids: ['1', '2', '3'] }, 0, []],
    [{ operator_ids: ['1', '2', '3', '4'] }, 0, []],
    [{ parts: false }, 0, []],
    [{ parts: false, pages: null, price: null }, 0, []],
    [{ pages: 1 }, 0, []],
  ])('%j posts %s (0: all) with the flags %j', (over, amount, flags) => {
    const row = {
      id: 'm',
      user_id: 'u',
      attempts: 1,
      operator: 'MCI',
      ...long,
      operator_ids: ['1'],
      parts: true,
      ...over,
    };
    expect(settlement(row)).toMatchObject({ amount, flags, operator_ids: row.operator_ids });
  });
});
