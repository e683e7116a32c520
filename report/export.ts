/**
 * A report as CSV for spreadsheets: UTF-8 with a byte order mark (Excel reads Persian only so), CRLF, quoted as RFC 4180 has it.
 * It is read page by page as the client takes it, so that its size costs no memory and no long transaction.
 */
import type { Filter } from './filter.ts';
import { itemOf } from './item.ts';
import { readRows } from './list.ts';
import type { Store } from './store.ts';

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
 * One cell. A text that a spreadsheet would compute gets an apostrophe before it, also a phone number: it stays a text with
 * all its digits.
 */
export function csvCell(value: string | number | null | readonly string[]): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = typeof value === 'string' ? value : value.join(' ');
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return MEANING.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const csvLine = (cells: readonly (string | number | null | readonly string[])[]): string =>
  `${cells.map(csvCell).join(',')}\r\n`;

/** The whole filtered report. A fault after the first page cuts the stream: a client sees that it is not whole. */
export async function exportCsv(store: Store, userId: string, filter: Filter): Promise<Response> {
  const encoder = new TextEncoder();
  // The first page is read before the answer begins, so that a database that is away is a clean 503.
  let rows = await readRows(store, userId, filter, PAGE_ROWS);
  let first = true;
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          let text = first ? `\ufeff${csvLine(COLUMNS)}` : '';
          first = false;
          for (const row of rows) {
            const item = itemOf(row);
            text += csvLine(COLUMNS.map((column) => item[column]));
          }
          controller.enqueue(encoder.encode(text));
          const last = rows.at(-1);
          if (!last || rows.length < PAGE_ROWS) return controller.close();
          rows = await readRows(store, userId, filter, PAGE_ROWS, last.id);
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
