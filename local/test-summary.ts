/** Reads the counts that `bun test` prints at its end. */

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
