/** What a campaign came to: one row a kind of fault, and the sum over several runs. Pure but for reading and writing results. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Row = {
  count: number;
  /** Accepted while it lasted; under two faults at once a message counts for both. */
  messages: number;
  /** Violations of messages that were on their way under it. */
  violations: number;
};

export type Result = {
  at: string;
  commit: string;
  seed: number;
  machine: Record<string, string | number>;
  seconds: number;
  faults: number;
  messages: number;
  /** Times that all was drained and checked. */
  checks: number;
  violations: string[];
  /** Processes that ended though nobody killed them. */
  ownEnds: { service: string; at: string; words: string }[];
  ends: Record<string, number>;
  /** By failpoint: how often a process killed itself there. */
  failpoints: Record<string, number>;
  rows: Record<string, Row>;
};

const RESULTS = join(import.meta.dirname, '..', 'results');

export function writeResult(result: Result): string {
  mkdirSync(RESULTS, { recursive: true });
  const file = join(RESULTS, `${result.at.slice(0, 19).replaceAll(':', '-')}-${result.seed}.json`);
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  return file;
}

export const readResults = (): Result[] =>
  readdirSync(RESULTS)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(RESULTS, name), 'utf8')) as Result);

const added = (a: Record<string, number>, b: Record<string, number>): Record<string, number> => {
  const sum = { ...a };
  for (const [name, n] of Object.entries(b)) sum[name] = (sum[name] ?? 0) + n;
  return sum;
};

export function addRow(rows: Record<string, Row>, kind: string, { count, messages, violations }: Row): void {
  rows[kind] ??= { count: 0, messages: 0, violations: 0 };
  const row = rows[kind];
  row.count += count;
  row.messages += messages;
  row.violations += violations;
}

/** Several results as if they were one. Throws when there is none. */
export function totalOf(results: readonly Result[]): Result {
  const [first, ...rest] = results;
  if (!first) throw new Error('There are no results in tests/chaos/results yet; run `bun run test:chaos` first.');
  const total: Result = structuredClone(first);
  for (const result of rest) {
    total.seconds += result.seconds;
    total.faults += result.faults;
    total.messages += result.messages;
    total.checks += result.checks;
    total.violations.push(...result.violations);
    total.ownEnds.push(...result.ownEnds);
    total.ends = added(total.ends, result.ends);
    total.failpoints = added(total.failpoints, result.failpoints);
    for (const [kind, row] of Object.entries(result.rows)) addRow(total.rows, kind, row);
  }
  return total;
}

const grouped = (n: number): string => String(n).replace(/\B(?=(\d{3})+(?!\d))/g, ',');

/** As Markdown, so that it can stand in a document as it is. */
export function tableOf(result: Result): string {
  const lines = Object.entries(result.rows)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([kind, { count, messages, violations }]) => [kind, grouped(count), grouped(messages), grouped(violations)]);
  const whole = ['**all**', grouped(result.faults), grouped(result.messages), grouped(result.violations.length)];
  const cells = [['Fault', 'Times', 'Messages under it', 'Violations'], ...lines, whole];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => (row[column] as string).length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number))).join(' | ')} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(cells[0] as string[]), rule, ...cells.slice(1).map(line)].join('\n');
}
