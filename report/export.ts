/**
 * A report as CSV for spreadsheets: UTF-8 with a byte order mark (Excel reads Persian only so), CRLF, quoted as RFC 4180 has it.
 * It is read page by page as the client takes it, so that its size costs no memory and no long transaction.
 */
import type { Filter } from './filter.ts';
import { itemOf } from './item.ts';
import { keptOf, readRows } from './list.ts';
import { atOneInstant, type Store } from './store.ts';

const PAGE_ROWS = 2_000;
const COLUMNS = [
  'message_id',
  'created_at',
  'phone',
  'text',
  'type',
  'sender',
  'status',
  'operator',
  'encoding',
  'pages',
  'price',
  'posted',
  'attempts',
  'error',
  'flags',
  'batch_id',
  'client_ref',
  'replay_of',
  'updated_at',
] as const;

/** What a spreadsheet would take for a formula, also in its full-width forms. */
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
const MEANING = /[",\r\n]/;
/**
 * What it would take for a number, a time or a day and write otherwise: 004821 as 4821, more than 15 digits with zeros at the end,
 * 1E5 as 100000, 1-2 and 3 May as days. Digits of any script, with the signs that stand among them.
 */
const NUMBER = /^[\p{Nd}\s.,:/%()$\u066a-\u066c-]+(?:e[+-]?\p{Nd}+|\s[ap]m?)?$/iu;
const NAMED_DAY = /^[\p{Nd}\s,/-]*(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[\p{Nd}\s.,/-]*$/iu;
const DIGIT = /\p{Nd}/u;
const isChanged = (text: string): boolean => DIGIT.test(text) && (NUMBER.test(text) || NAMED_DAY.test(text));

/** What the client wrote: any text at all. */
const FREE: ReadonlySet<string> = new Set(['text', 'sender', 'client_ref']);

/**
 * One cell. A text that a spreadsheet would compute gets an apostrophe before it, also a phone number: it stays a text with
 * all its digits.
 * @param free the client's own words: what reads as a number or a day gets one as well
 */
export function csvCell(value: string | number | null | readonly string[], free = false): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = typeof value === 'string' ? value : value.join(' ');
  const safe = FORMULA.test(text) || (free && isChanged(text)) ? `'${text}` : text;
  return MEANING.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const csvLine = (item: ReturnType<typeof itemOf>): string =>
  `${COLUMNS.map((column) => csvCell(item[column], FREE.has(column))).join(',')}\r\n`;

/** The whole filtered report. A fault after the first page cuts the stream: a client sees that it is not whole. */
export async function exportCsv(store: Store, userId: string, filter: Filter): Promise<Response> {
  const encoder = new TextEncoder();
  const read = (beforeId?: string) =>
    atOneInstant(store, async (frozen) => readRows(frozen, userId, await keptOf(frozen, filter), PAGE_ROWS, beforeId));
  // The first page is read before the answer begins, so that a database that is away is a clean 503.
  let rows = await read();
  let first = true;
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          let text = first ? `\ufeff${COLUMNS.join(',')}\r\n` : '';
          first = false;
          for (const row of rows) text += csvLine(itemOf(row));
          controller.enqueue(encoder.encode(text));
          const last = rows.at(-1);
          if (!last || rows.length < PAGE_ROWS) return controller.close();
          rows = await read(last.id);
        } catch (thrown) {
          controller.error(thrown);
        }
      },
    },
    { highWaterMark: 1 },
  );
  return new Response(body, {
    headers: {
      'content-type': 'text/csv; charset=utf-8',
      'content-disposition': `attachment; filename="report-${userId}.csv"`,
      'cache-control': 'no-store',
    },
  });
}
