import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { discardDeadLetter, listDeadLetters, replayDeadLetter } from '../../report/dead-letters.ts';
import { resendThrough } from '../../report/gateway.ts';
import { newId } from '../../shared/id.ts';
import {
  createDatabase,
  factsOf,
  messageEvent,
  newAccount,
  statusEvent,
  type TestDatabase,
  writeFacts,
} from './fixture.ts';

let db: TestDatabase;
let door: Server;
let gatewayUrl: string;
/** What the door at the gateway's address was asked, and what it answers next. */
const asked: { key: unknown; body: Record<string, unknown> }[] = [];
let answer: { status: number; body: unknown } | null = null;

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return JSON.parse(text) as Record<string, unknown>;
}

beforeAll(async () => {
  db = await createDatabase();
  // Keeps answers by key, as the gateway's contract says; the flow tests replay through the real one.
  const answered = new Map<unknown, string>();
  door = createServer(async (request, response) => {
    const body = await bodyOf(request);
    const key = request.headers['idempotency-key'];
    asked.push({ key, body });
    if (answer !== null) {
      response.writeHead(answer.status, { 'content-type': 'application/problem+json' });
      return response.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body));
    }
    const id = answered.get(key) ?? newId();
    answered.set(key, id);
    response.writeHead(202, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ message_id: id, status: 'queued', user_id: body.user_id, price: 220 }));
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
  gatewayUrl = `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
});
afterAll(async () => {
  door.close();
  await db.close();
});

async function deadLetter(user_id = newAccount(), operator = 'MCI') {
  const message = messageEvent({ user_id, operator, client_ref: 'ref-1' });
  const retries = [1, 2, 3].map((n) =>
    statusEvent(message, { status: 'retrying', version: n, attempt: n, error: 'queue full' }),
  );
  const failed = statusEvent(message, {
    status: 'failed',
    version: 4,
    attempt: 4,
    posted: 0,
    error: 'queue full',
    dead: true,
  });
  await writeFacts(db.writer, factsOf(message, ...retries, failed));
  return { message, failed, user_id };
}

describe('dead letters', () => {
  test('come with their reason and their history, and are narrowed by account and operator', async () => {
    const { message, user_id } = await deadLetter();
    const { message: other } = await deadLetter(user_id, 'MTN');
    const { items } = await listDeadLetters(db.store, { user_id }, 50);
    expect(items.map(({ message_id }) => message_id)).toEqual([other.id, message.id]);
    expect(items[1]).toMatchObject({
      reason: 'queue full',
      attempts: 4,
      operator: 'MCI',
      phone: message.phone,
      replayed_as: null,
    });
    expect(items[1]?.history.map(({ event, attempt }) => [event, attempt])).toEqual([
      ['queued', null],
      ['retrying', 1],
      ['retrying', 2],
      ['retrying', 3],
      ['failed', 4],
    ]);
    const narrowed = await listDeadLetters(db.store, { user_id, operator: 'MTN' }, 50);
    expect(narrowed.items.map(({ message_id }) => message_id)).toEqual([other.id]);
  });

  test('a rejected message is none', async () => {
    const user_id = newAccount();
    const message = messageEvent({ user_id });
    await writeFacts(
      db.writer,
      factsOf(message, statusEvent(message, { status: 'failed', posted: 0, error: 'blocked' })),
    );
    expect((await listDeadLetters(db.store, { user_id }, 50)).items).toEqual([]);
  });

  test('pages have no gaps and no repeats', async () => {
    const user_id = newAccount();
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push((await deadLetter(user_id)).message.id);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listDeadLetters(db.store, { user_id }, 2, cursor);
      seen.push(...page.items.map(({ message_id }) => message_id));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toEqual(ids.reverse());
  });

  test('a discarded one is gone, and stays gone when its event is read again', async () => {
    const { message, failed, user_id } = await deadLetter();
    await discardDeadLetter(db.store, message.id);
    await writeFacts(db.writer, factsOf(message, failed));
    expect((await listDeadLetters(db.store, { user_id }, 50)).items).toEqual([]);
    await expect(discardDeadLetter(db.store, message.id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(replayDeadLetter(db.store, resendThrough(gatewayUrl), message.id)).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('a replay', () => {
  test('sends the same text to the same number for the same account, keyed by the dead letter', async () => {
    const { message, user_id } = await deadLetter();
    const replayed = await replayDeadLetter(db.store, resendThrough(gatewayUrl), message.id);
    expect(replayed).toMatchObject({ replay_of: message.id, status: 'queued', user_id, already_replayed: false });
    expect(asked.at(-1)).toEqual({
      key: `replay:${message.id}`,
      body: {
        phone: message.phone,
        text: message.text,
        user_id,
        type: 'normal',
        sender: message.sender,
        client_ref: 'ref-1',
        replay_of: message.id,
      },
    });
    const { items } = await listDeadLetters(db.store, { user_id }, 50);
    expect(items[0]?.replayed_as).toBe(replayed.message_id);
  });

  test('is made once, however many calls come at one moment or later', async () => {
    const { message } = await deadLetter();
    const resend = resendThrough(gatewayUrl);
    const ids = await Promise.all(
      [1, 2, 3, 4].map(async () => (await replayDeadLetter(db.store, resend, message.id)).message_id),
    );
    expect(new Set(ids).size).toBe(1);
    const before = asked.length;
    const later = await replayDeadLetter(db.store, resend, message.id);
    expect(later).toMatchObject({ message_id: ids[0], already_replayed: true });
    expect(asked.length).toBe(before);
  });

  test('is known by its message alone, when the report had died before it could note it', async () => {
    const { message, user_id } = await deadLetter();
    const replay = messageEvent({ user_id, replay_of: message.id });
    await writeFacts(db.writer, factsOf(replay));
    const before = asked.length;
    const replayed = await replayDeadLetter(db.store, resendThrough(gatewayUrl), message.id);
    expect(replayed).toMatchObject({ message_id: replay.id, already_replayed: true });
    expect(asked.length).toBe(before);
  });

  test.each([
    [402, { code: 'insufficient_balance', detail: 'Top up first.' }, 'insufficient_balance'],
    [503, { code: 'outcome_unknown', detail: 'Perhaps.' }, 'outcome_unknown'],
    [502, '<html>', 'unavailable'],
    [200, { hello: 'world' }, 'unavailable'],
    [418, { code: 'teapot' }, 'unavailable'],
  ])('that the gateway refuses with %i %o is refused alike, and can be asked for again', async (status, body, code) => {
    const { message } = await deadLetter();
    answer = { status, body };
    await expect(replayDeadLetter(db.store, resendThrough(gatewayUrl), message.id)).rejects.toMatchObject({ code });
    answer = null;
    const replayed = await replayDeadLetter(db.store, resendThrough(gatewayUrl), message.id);
    expect(replayed.already_replayed).toBe(false);
  });

  test('with no gateway there is unavailable; of what is no dead letter not found', async () => {
    const { message } = await deadLetter();
    await expect(replayDeadLetter(db.store, resendThrough('http://127.0.0.1:1'), message.id)).rejects.toMatchObject({
      code: 'unavailable',
    });
    await expect(replayDeadLetter(db.store, resendThrough(gatewayUrl), newId())).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  test('waits for a message whose own event has not come', async () => {
    const message = messageEvent({ user_id: newAccount() });
    await writeFacts(db.writer, factsOf(statusEvent(message, { status: 'failed', posted: 0, dead: true })));
    await expect(replayDeadLetter(db.store, resendThrough(gatewayUrl), message.id)).rejects.toMatchObject({
      code: 'unavailable',
    });
  });
});
