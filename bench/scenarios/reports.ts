/** The report over an archive of millions of rows: what a customer waits for. */
import { ARCHIVE_PHONE, archiveAccount, LARGE_ACCOUNT, writeArchive } from '../archive.ts';
import type { Bench, Figures, Run } from '../bench.ts';
import { percentile, rounded } from '../statistics.ts';

const ASKED = 200;
const PAGES = 1_000;
/** Of the last pages of the walk: what a page costs that far in. */
const DEEP_PAGES = 100;
const CSV_MS_MAX = 20_000;

type Page = { items: unknown[]; next_cursor: string | null };

async function get(url: string): Promise<Response> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(60_000) });
  if (!answer.ok) throw new Error(`the report answers ${answer.status}: ${await answer.text()}`);
  return answer;
}

/** Milliseconds until the whole answer is read. */
async function timed(url: string): Promise<{ ms: number; body: Page }> {
  const began = performance.now();
  const body = (await (await get(url)).json()) as Page;
  return { ms: performance.now() - began, body };
}

async function timesOf(urls: readonly string[]): Promise<number[]> {
  const times: number[] = [];
  for (const url of urls) times.push((await timed(url)).ms);
  return times;
}

const figuresOf = (times: readonly number[]): Record<string, number> => ({
  p50_ms: rounded(percentile(times, 0.5), 2),
  p99_ms: rounded(percentile(times, 0.99), 2),
});

/** Page after page of the large account, as a customer scrolls. */
async function deepPages(base: string): Promise<{ times: number[]; pages: number }> {
  const times: number[] = [];
  let cursor: string | null = '';
  for (let page = 0; page < PAGES && cursor !== null; page++) {
    const url: string = `${base}/report/${LARGE_ACCOUNT}${cursor === '' ? '' : `?cursor=${encodeURIComponent(cursor)}`}`;
    const { ms, body } = await timed(url);
    times.push(ms);
    cursor = body.next_cursor;
  }
  return { times: times.slice(-DEEP_PAGES), pages: times.length };
}

async function csv(base: string): Promise<Figures> {
  const stop = new AbortController();
  const began = performance.now();
  const answer = await fetch(`${base}/report/${LARGE_ACCOUNT}?format=csv`, { signal: stop.signal });
  if (!answer.ok || !answer.body) throw new Error(`the CSV is not answered: ${answer.status}`);
  let bytes = 0;
  let rows = -1;
  const firstAt: number[] = [];
  for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
    if (bytes === 0) firstAt.push(performance.now() - began);
    bytes += chunk.length;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) rows += 1;
    if (performance.now() - began > CSV_MS_MAX) break;
  }
  const seconds = (performance.now() - began) / 1_000;
  stop.abort();
  return {
    csv_first_bytes_ms: rounded(firstAt[0] ?? 0, 1),
    csv_rows_per_s: rounded(rows / seconds, 0),
    csv_mb_per_s: rounded(bytes / 1_048_576 / seconds, 1),
  };
}

export async function reports(bench: Bench): Promise<Run[]> {
  const { rows } = bench.options;
  const base = bench.stack.urls.report;
  bench.say(`reports: writing ${rows} rows …`);
  const began = performance.now();
  await writeArchive(bench, rows);
  const loadS = (performance.now() - began) / 1_000;
  const each = (path: (account: string) => string): string[] =>
    Array.from({ length: ASKED }, (_, n) => `${base}${path(archiveAccount(n))}`);
  bench.say('reports: asking …');
  // Once unmeasured: connections, plans and the hottest pages are there in a system that runs.
  await timesOf(each((account) => `/report/${account}`).slice(0, 20));
  const first = await timesOf(each((account) => `/report/${account}`));
  const deep = await deepPages(base);
  const filtered = await timesOf(each((account) => `/report/${account}?status=failed&operator=MCI`));
  const byPhone = await timesOf(each(() => `/report/${LARGE_ACCOUNT}?phone=${encodeURIComponent(ARCHIVE_PHONE)}`));
  const summary = await timesOf(each((account) => `/report/${account}/summary`));
  return [
    {
      scenario: 'reports',
      title: 'reports',
      figures: {
        rows,
        written_in_s: rounded(loadS, 1),
        first_page: figuresOf(first),
        [`page_${deep.pages}`]: figuresOf(deep.times),
        filtered_by_status_and_operator: figuresOf(filtered),
        filtered_by_phone: figuresOf(byPhone),
        summary: figuresOf(summary),
        ...(await csv(base)),
      },
      violations: [],
    },
  ];
}
