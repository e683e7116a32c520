/** Reading a JSON file that people write. */
import { readFileSync } from 'node:fs';

export type Refused = { ok: false; problems: string[] };

/** @returns what the file holds, or one sentence that says why it cannot be read; a file with a byte order mark is read as well */
export function readJsonFile(path: string): { ok: true; json: unknown } | Refused {
  let written: string;
  try {
    written = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT') return refused(`${path} does not exist`);
    return refused(
      thrown instanceof TypeError ? `${path} is not UTF-8` : `${path} cannot be read (${code ?? 'unknown'})`,
    );
  }
  try {
    return { ok: true, json: JSON.parse(written) };
  } catch (thrown) {
    return refused(`${path} is not JSON: ${unquoted((thrown as Error).message)}`);
  }
}

/** A runtime's own words up to where they quote the file, which may hold passwords, and the place that they name. */
function unquoted(words: string): string {
  const [reason = ''] = words.split(/["'`]/);
  const [place = ''] = /\bat position \d+.*$/.exec(words) ?? [];
  return place === '' || reason.includes(place) ? reason.trim() : `${reason.trim()} … ${place}`;
}

const refused = (problem: string): Refused => ({ ok: false, problems: [problem] });
