/** The one table at the end: a column per run, a row per figure. */
import type { Figure, Run } from './bench.ts';

/** Plain words for figures whose name does not say it. */
const LABELS: Readonly<Record<string, string>> = {
  accepted: 'messages accepted',
  accepted_per_s: 'accepted (202), messages/s',
  final_per_s: 'end to end, messages/s',
  drain_s: 'drain after the load, s',
  answer_p50_ms: '202 p50, ms',
  answer_p99_ms: '202 p99, ms',
  answer_p999_ms: '202 p99.9, ms',
  cpu_us_per_message: 'CPU per message, µs',
  cpu_us: 'CPU per message, µs',
  cpu_us_apart: 'apart from it, µs',
  memory_mb: 'memory at the end, MB',
  machine_busy_percent: 'machine busy, %',
  machine_stolen_percent: 'taken by its host, %',
  memory_read_ns: 'a read from its memory, ns',
  per_1000_messages: 'per 1,000 messages',
};

const plain = (name: string): string => LABELS[name] ?? name.replaceAll('_', ' ');

const shown = (figure: Figure | undefined): string => {
  if (figure === undefined) return '';
  if (typeof figure === 'string') return figure;
  const [whole = '', fraction] = String(figure).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
};

type Row = { label: string; cells: (Figure | undefined)[] };

/** The figures of all runs as rows, in the order of their first appearance. Pure. */
export function rowsOf(runs: readonly Pick<Run, 'figures'>[]): Row[] {
  const names = [...new Set(runs.flatMap(({ figures }) => Object.keys(figures)))];
  return names.flatMap((name): Row[] => {
    const values = runs.map(({ figures }) => figures[name]);
    const groups = values.filter((value) => typeof value === 'object');
    if (groups.length === 0) return [{ label: plain(name), cells: values as (Figure | undefined)[] }];
    const inner = [...new Set(groups.flatMap((group) => Object.keys(group)))];
    return [
      { label: plain(name), cells: [] },
      ...inner.map((key) => ({
        label: `  ${plain(key)}`,
        cells: values.map((value) => (typeof value === 'object' ? value[key] : undefined)),
      })),
    ];
  });
}

/** A text table with a column per run. Pure. */
export function tableOf(runs: readonly Pick<Run, 'title' | 'figures'>[]): string {
  const rows = rowsOf(runs);
  const labelWidth = Math.max(...rows.map(({ label }) => label.length), 0);
  const widths = runs.map(({ title }, i) =>
    Math.max(title.length, ...rows.map(({ cells }) => shown(cells[i]).length), 6),
  );
  const line = (label: string, cells: readonly string[]): string =>
    [label.padEnd(labelWidth), ...widths.map((width, i) => (cells[i] ?? '').padStart(width))].join('   ').trimEnd();
  return [
    line(
      '',
      runs.map(({ title }) => title),
    ),
    ...rows.map(({ label, cells }) => line(label, cells.map(shown))),
  ].join('\n');
}
