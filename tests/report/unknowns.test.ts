import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { provenUnknowns } from '../../report/unknowns.ts';
import type { MessageEvent, StatusEvent } from '../../shared/events.ts';
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
  return rows.filter(({ id }) => messages.some((m) => m.id === id)).map(({ id, operator_id }) => [id, operator_id]);
};
/** As if the receipts had come a while ago. */
const age = () => db.sql`UPDATE receipts_waiting SET received_at = received_at - interval '6 seconds'`;
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
