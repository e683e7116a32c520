/**
 * `bun run ported:import FILE.csv`: enters ported numbers in bulk. A line is `number,operator` or `number,operator,days`; a
 * first line that names the columns is skipped. The file is read whole or not at all: each bad line is named, nothing changes.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { readSettings } from '../shared/config.ts';
import { readAuthority } from '../shared/credentials.ts';
import { createLog } from '../shared/log.ts';
import { importPorted, type PortedEntry } from '../shared/ported.ts';
import { connected, connectRedis } from '../shared/redis.ts';
import { parseOperators } from '../shared/sms/operators.ts';
import { parsePhone } from '../shared/sms/phone.ts';
import { watchFile } from '../shared/watched-file.ts';
import { settings } from './config.ts';

const PROBLEMS_SHOWN = 20;

export type ImportLine = { ok: true; phone: string; entry: PortedEntry } | { ok: false; reason: string };

/** Reads one line. Pure. @param nowMs when the entries were made, epoch milliseconds */
export function parseImportLine(line: string, operators: ReadonlySet<string>, nowMs: number): ImportLine {
  const [number = '', operator = '', days = '', ...rest] = line
    .split(',')
    .map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'));
  if (rest.length > 0) return { ok: false, reason: 'has more than three columns' };
  const phone = parsePhone(number);
  if (phone === null) return { ok: false, reason: 'the number is not an Iranian mobile number' };
  if (!operators.has(operator)) return { ok: false, reason: 'there is no such operator' };
  if (days !== '' && !/^[1-9][0-9]{0,3}$/.test(days))
    return { ok: false, reason: 'the days are not a whole number from 1 to 9999' };
  const until = days === '' ? null : nowMs + Number(days) * 86_400_000;
  return { ok: true, phone, entry: { operator, until, source: 'imported', at: nowMs } };
}

/** Reads a CSV file; entries and problems by line. A number that stands twice counts as its last line says. */
export async function readImport(
  path: string,
  operators: ReadonlySet<string>,
): Promise<{ entries: Map<string, PortedEntry>; problems: string[] }> {
  const entries = new Map<string, PortedEntry>();
  const problems: string[] = [];
  const nowMs = Date.now();
  let at = 0;
  for await (const raw of createInterface({
    input: createReadStream(path, 'utf8'),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    at += 1;
    const line = raw.replace(/^\uFEFF/, '').trim();
    if (line === '' || (at === 1 && /^"?(phone|number|msisdn)/i.test(line))) continue;
    const parsed = parseImportLine(line, operators, nowMs);
    if (parsed.ok) entries.set(parsed.phone, parsed.entry);
    else problems.push(`line ${at}: ${parsed.reason}`);
  }
  return { entries, problems };
}

async function main(path: string | undefined): Promise<number> {
  if (path === undefined) {
    process.stderr.write(
      'usage: bun run ported:import FILE.csv    (lines of number,operator or number,operator,days)\n',
    );
    return 2;
  }
  const config = readSettings(settings, process.env);
  const log = createLog('ported-import', 'warn');
  const operators = await watchFile(
    config.OPERATORS_FILE,
    (json) => {
      const parsed = parseOperators(json, null);
      return parsed.ok ? { ok: true, value: new Set(parsed.file.operators.map(({ name }) => name)) } : parsed;
    },
    log,
  );
  operators.close();
  const { entries, problems } = await readImport(path, operators.value);
  if (problems.length > 0) {
    const shown = problems.slice(0, PROBLEMS_SHOWN);
    const more = problems.length - shown.length;
    process.stderr.write(`${shown.join('\n')}${more > 0 ? `\nand ${more} more` : ''}\nNothing was imported.\n`);
    return 1;
  }
  const redis = connectRedis(config.REDIS_URL, log, readAuthority(config.TLS_CA_FILE));
  await connected(redis);
  await importPorted(redis, [...entries]);
  redis.disconnect();
  process.stdout.write(`${entries.size} numbers imported; every process routes by them within a second.\n`);
  return 0;
}

if (import.meta.main) {
  try {
    process.exit(await main(process.argv[2]));
  } catch (thrown) {
    process.stderr.write(`${(thrown as Error).message}\n`);
    process.exit(1);
  }
}
