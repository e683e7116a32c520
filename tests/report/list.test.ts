import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { desc } from 'drizzle-orm';
import fc from 'fast-check';
import { csvCell, exportCsv } from '../../report/export.ts';
import { conditionsOf, type Filter, readFilter } from '../../report/filter.ts';
import { readPage } from '../../report/list.ts';
import { messages } from '../../report/schema.ts';
import type { MessageEvent } from '../../shared/events.ts';
import { newId } from '../../shared/id.ts';
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

const all: Filter = { fromMs: null, toMs: null };
const at = (iso: string, over: Partial<MessageEvent> = {}): MessageEvent => {
  const ms = Date.parse(iso);
  return messageEvent({ accepted_at: ms, id: newId(ms), ...over });
};

async function pagesOf(user: string, filter: Filter, limit: number) {
  const pages: Awaited<ReturnType<typeof readPage>>[] = [];
  let cursor: string | undefined;
  do {
    const page = await readPage(db.store, user, filter, limit, cursor);
    pages.push(page);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
  return pages;
}

describe('pages', () => {
  test('are answered to more at once than there are connections', async () => {
    const user_id = newAccount();
    await writeFacts(db.writer, factsOf(messageEvent({ user_id })));
    const pages = await Promise.all(Array.from({ length: 40 }, () => readPage(db.store, user_id, all, 10)));
    for (const { items, counts } of pages) {
      expect(items).toHaveLength(1);
      expect(counts.queued).toBe(1);
    }
  });

  test('show no message that their counts do not count', async () => {
    const user_id = newAccount();
    let writing = true;
    const writer = (async () => {
      while (writing) await writeFacts(db.writer, factsOf(messageEvent({ user_id })));
    })();
    try {
      for (let i = 0; i < 50; i += 1) {
        const { items, counts } = await readPage(db.store, user_id, all, 500);
        expect(items).toHaveLength(counts.queued);
      }
    } finally {
      writing = false;
      await writer;
    }
  });

  test('have no gaps and no repeats, newest first, also while messages are accepted meanwhile', async () => {
    const user_id = newAccount();
    const base = Date.now() - 3 * 86_400_000;
    const messages = Array.from({ length: 103 }, (_, i) => {
      // Several in one millisecond, over several days.
      const ms = base + Math.floor(i / 3) * 7_000_000;
      return messageEvent({ user_id, accepted_at: ms, id: newId(ms) });
    });
    await writeFacts(db.writer, factsOf(...messages));
    const expected = messages
      .map(({ id }) => id)
      .sort()
      .reverse();
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await readPage(db.store, user_id, all, 10, cursor);
      seen.push(...page.items.map(({ message_id }) => message_id));
      cursor = page.next_cursor ?? undefined;
      await writeFacts(db.writer, factsOf(messageEvent({ user_id })));
    } while (cursor !== undefined);
    expect(seen).toEqual(expected);
  });

  test('of an unknown account are empty, with zeros', async () => {
    const page = await readPage(db.store, newAccount(), all, 50);
    expect(page).toMatchObject({ items: [], next_cursor: null });
    expect(page.counts).toEqual({
      queued: 0,
      retrying: 0,
      unknown: 0,
      sent: 0,
      failed: 0,
      delivered: 0,
      undelivered: 0,
    });
  });

  test('refuse a cursor that is none of theirs', async () => {
    for (const cursor of ['x', 'bnVsbA', Buffer.from('[1,"2"]').toString('base64url'), 'W10'])
      await expect(readPage(db.store, 'x', all, 5, cursor)).rejects.toMatchObject({ code: 'invalid_request' });
  });
});

describe('filters', () => {
  const user_id = newAccount();
  const batch = newId();
  const messages = [
    at('2026-04-01T20:29:59.999Z', { user_id, type: 'express', operator: 'MTN', phone: '+989351112233' }),
    at('2026-04-01T20:30:00.000Z', { user_id, batch_id: batch, client_ref: 'a-1' }),
    at('2026-04-02T10:00:00.000Z', { user_id, batch_id: batch, operator: 'MTN' }),
    at('2026-04-03T20:29:59.000Z', { user_id, client_ref: 'a-2' }),
    at('2026-04-04T09:00:00.000Z', { user_id, type: 'express' }),
  ] as const;
  beforeAll(async () => {
    const [, second, third] = messages;
    await writeFacts(
      db.writer,
      factsOf(...messages, statusEvent(second), statusEvent(third, { status: 'failed', error: 'rejected' })),
    );
  });
  const rows = async (query: Parameters<typeof readFilter>[1]) => {
    const page = await readPage(db.store, user_id, await readFilter(db.store, query), 50);
    const places = page.items.map(({ message_id }) => messages.findIndex(({ id }) => id === message_id)).reverse();
    return { places, counts: Object.fromEntries(Object.entries(page.counts).filter(([, n]) => n > 0)) };
  };
  const table: [string, Parameters<typeof readFilter>[1], number[], Record<string, number>][] = [
    ['status', { status: 'failed' }, [2], { queued: 3, sent: 1, failed: 1 }],
    ['type', { type: 'express' }, [0, 4], { queued: 2 }],
    ['operator', { operator: 'MTN' }, [0, 2], { queued: 1, failed: 1 }],
    ['phone, in any spelling', { phone: '0935 111 2233' }, [0], { queued: 1 }],
    ['batch', { batch }, [1, 2], { sent: 1, failed: 1 }],
    ['client_ref', { client_ref: 'a-2' }, [3], { queued: 1 }],
    ['a date is the whole day in Tehran', { from: '2026-04-02', to: '2026-04-02' }, [1, 2], { sent: 1, failed: 1 }],
    ['days together', { from: '2026-04-02', to: '2026-04-03' }, [1, 2, 3], { queued: 1, sent: 1, failed: 1 }],
    ['from an instant inside a day', { from: '2026-04-02T09:59:00Z' }, [2, 3, 4], { queued: 2, failed: 1 }],
    ['to an instant, exclusive', { to: '2026-04-02T10:00:00Z' }, [0, 1], { queued: 1, sent: 1 }],
    [
      'both inside one day',
      { from: '2026-04-02T00:00:00+03:30', to: '2026-04-02T12:00:00Z' },
      [1, 2],
      { sent: 1, failed: 1 },
    ],
    ['a plus sign that arrived as a blank', { from: '2026-04-04T00:00:00 03:30' }, [4], { queued: 1 }],
    ['together', { operator: 'MTN', from: '2026-04-02', type: 'normal' }, [2], { failed: 1 }],
    ['nothing', { client_ref: 'none' }, [], {}],
  ];
  test.each(table)('by %s', async (_, query, places, counts) => {
    expect(await rows(query)).toEqual({ places, counts });
  });

  test.each([
    [{ from: '2026-02-30' }, 'from'],
    [{ to: '2026-13-01' }, 'to'],
    [{ from: '2026-04-03', to: '2026-04-01' }, 'to'],
    [{ phone: '12' }, 'phone'],
  ])('%o names what does not fit', async (query, field) => {
    await expect(readFilter(db.store, query)).rejects.toMatchObject({ code: 'invalid_request', fields: [{ field }] });
  });
});

/** An account with something of everything, over five days; `held` is what the rows alone say of a filter. */
describe('what the totals spare a page to read', () => {
  const DAY_MS = 86_400_000;
  const STATUSES = ['queued', 'retrying', 'unknown', 'sent', 'failed'] as const;
  const user_id = newAccount();
  const now = Date.now();
  const filters = fc.record(
    {
      status: fc.constantFrom('queued', 'retrying', 'unknown', 'sent', 'failed', 'delivered', 'undelivered'),
      type: fc.constantFrom('express', 'normal'),
      operator: fc.constantFrom('MCI', 'MTN', 'Nobody'),
    },
    { requiredKeys: [] },
  );
  const bound = fc.option(fc.integer({ min: now - 5 * DAY_MS, max: now }));
  beforeAll(async () => {
    const random = fc.sample(
      fc.record({
        ms: fc.integer({ min: now - 5 * DAY_MS, max: now }),
        type: fc.constantFrom('express' as const, 'normal' as const),
        operator: fc.constantFrom('MCI', 'MTN'),
        status: fc.constantFrom(...STATUSES, 'sent' as const, 'sent' as const),
        told: fc.constantFrom('delivered' as const, 'delivered' as const, 'undelivered' as const),
        heard: fc.boolean(),
      }),
      { numRuns: 400, seed: 7 },
    );
    for (const { ms, type, operator, status, told, heard } of random) {
      const message = messageEvent({ user_id, accepted_at: ms, id: newId(ms), type, operator });
      const decided = status === 'queued' ? [] : [statusEvent(message, { status })];
      const receipts = status === 'sent' && heard ? [receiptEvent(statusEvent(message), { status: told })] : [];
      await writeFacts(db.writer, factsOf(message, ...decided, ...receipts));
    }
  });

  test('changes no page: each holds what the rows alone say', async () => {
    const plan = fc.record({ filter: filters, from: bound, to: bound, limit: fc.integer({ min: 1, max: 60 }) });
    await fc.assert(
      fc.asyncProperty(plan, async ({ filter, from, to, limit }) => {
        const asked: Filter = { ...filter, fromMs: from, toMs: to };
        const rows = await db.store.db
          .select({ id: messages.id })
          .from(messages)
          .where(conditionsOf(user_id, asked))
          .orderBy(desc(messages.id));
        const pages = await pagesOf(user_id, asked, limit);
        expect(pages.flatMap(({ items }) => items.map(({ message_id }) => message_id))).toEqual(
          rows.map(({ id }) => id),
        );
        for (const { items, next_cursor } of pages) if (next_cursor !== null) expect(items).toHaveLength(limit);
        if (filter.status) expect(pages[0]?.counts[filter.status]).toBe(rows.length);
      }),
      { numRuns: 150 },
    );
  }, 60_000);
});

describe('CSV', () => {
  test('holds the whole report, in the same order as the pages, past one page of reading', async () => {
    const user_id = newAccount();
    const messages = Array.from({ length: 4_321 }, (_, i) => messageEvent({ user_id, text: `متن ${i}` }));
    await writeFacts(db.writer, factsOf(...messages));
    const response = await exportCsv(db.store, user_id, all);
    expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    const bytes = new Uint8Array(await response.arrayBuffer());
    expect([...bytes.subarray(0, 3)]).toEqual([0xef, 0xbb, 0xbf]);
    const lines = new TextDecoder().decode(bytes).split('\r\n');
    expect(lines.at(-1)).toBe('');
    const [head, ...rows] = lines.slice(0, -1);
    expect(head).toStartWith('message_id,created_at,phone,text,');
    const listed = (await pagesOf(user_id, all, 500)).flatMap(({ items }) => items.map(({ message_id }) => message_id));
    expect(rows.map((row) => row.split(',')[0])).toEqual(listed);
    expect(rows[0]).toContain("'+989121234567");
  });

  test('is read as it is taken: a reader that stops early ends the reading', async () => {
    const user_id = newAccount();
    await writeFacts(db.writer, factsOf(...Array.from({ length: 3_000 }, () => messageEvent({ user_id }))));
    const reader = (await exportCsv(db.store, user_id, all)).body?.getReader();
    const first = await reader?.read();
    expect(first?.value?.length).toBeGreaterThan(1_000);
    await reader?.cancel();
    expect((await reader?.read())?.done).toBe(true);
  });

  test.each([
    ['plain', 'plain'],
    ['a,b', '"a,b"'],
    ['say "no"', '"say ""no"""'],
    ['two\r\nlines', '"two\r\nlines"'],
    ['=1+1', "'=1+1"],
    ['+98', "'+98"],
    ['-1', "'-1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\tx', "'\tx"],
    ['\rx', '"\'\rx"'],
    ['＝1+1', "'＝1+1"],
    ['=HYPERLINK("http://x","y")', '"\'=HYPERLINK(""http://x"",""y"")"'],
    [-5, '-5'],
    [null, ''],
    [['a', 'b'], 'a b'],
  ])('the cell %j is written as %j', (value, cell) => {
    expect(csvCell(value)).toBe(cell);
  });

  test.each([
    ...[
      '004821',
      '12345678901234567',
      '1-2',
      '1/2/2026',
      '12:30',
      '1E5',
      '1.50',
      '۰۰۴۸۲۱',
      '١٢٬٥',
      ' 7 ',
      '3 pm',
      '50%',
      '(5)',
    ],
    ...['3-May', 'MAR 2026', 'Dec 24, 2026'],
  ])('the text %j keeps its characters behind an apostrophe', (text) => {
    const cell = csvCell(text, true);
    expect(cell.replace(/^"(.*)"$/, '$1')).toBe(`'${text}`);
    expect(csvCell(text)).not.toContain("'");
  });

  test.each(['', '.', 'a-1', 'A5', 'کد تایید: 1234', '5 messages', 'Mayor 5 b', 'e5', '12a'])(
    'the text %j stays as it is',
    (text) => {
      expect(csvCell(text, true)).toBe(text);
    },
  );
});
