/** Reads what `bun test` prints: the counts at its end, and why a test failed. */

export type TestCounts = { passed: number; failed: number };

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with the escape character.
const COLOURS = /\u001b\[[0-9;]*m/g;

const lastNumber = (text: string, pattern: RegExp): number => Number([...text.matchAll(pattern)].at(-1)?.[1] ?? 0);

/**
 * The last summary in what was printed (a test may itself print a summary before). A fault outside any test ("error")
 * counts as failed, and so does a test that was skipped or left to do: nothing here may be silently left out.
 */
export function readSummary(printed: string): TestCounts {
  const plain = printed.replace(COLOURS, '');
  const end = plain.lastIndexOf('\nRan ');
  if (end < 0) return { passed: 0, failed: 0 };
  const summary = plain.slice(Math.max(0, end - 400), end);
  const count = (word: string): number => lastNumber(summary, new RegExp(`^ *(\\d+) ${word}s?$`, 'gm'));
  return { passed: count('pass'), failed: count('fail') + count('error') + count('skip') + count('todo') };
}

/** Of one failed test; what matters stands last. */
const REASON_LINES = 80;
const REASONS_MAX = 20;
const RESULT = /^\((pass|fail|skip|todo)\) /;
const OUTSIDE = '# Unhandled error between tests';

/** Keeps what was printed before each "(fail)", which in a long run is far above its end. */
export function createReasons() {
  const reasons: string[] = [];
  let lines: string[] = [];
  let rest = '';
  let ended = false;
  const keep = (): void => {
    if (reasons.length < REASONS_MAX) reasons.push(lines.join('\n').trim());
  };
  const take = (line: string): void => {
    const plain = line.replace(COLOURS, '');
    // bun's own list of the failed, without reasons.
    if (/^\d+ tests? failed:$/.test(plain)) ended = true;
    if (ended) return;
    lines.push(line);
    const result = RESULT.exec(plain)?.[1];
    if (result === 'fail' || (result && lines.some((one) => one.includes(OUTSIDE)))) keep();
    if (result || /^\S+\.test\.tsx?:$/.test(plain)) lines = [];
    else if (lines.length > REASON_LINES) lines.shift();
  };
  return {
    add(printed: string): void {
      const whole = (rest + printed).split('\n');
      rest = whole.pop() ?? '';
      for (const line of whole) take(line);
    },
    /** One text for each test that failed, its error first and its name last. */
    list: (): readonly string[] => reasons,
  };
}
