/** A stack for the tests of one file: started before the first, ended after the last. */
import { afterAll, beforeAll, setDefaultTimeout } from 'bun:test';
import { type Stack, type StackOptions, startStack } from './stack.ts';

/** Four services, a Redis and a database; where nobody has asked for them yet the tests' Kafka and PostgreSQL as well. */
const START_WITHIN_MS = 180_000;
const CLOSE_WITHIN_MS = 60_000;
/** Each wait inside a test has a bound of its own with a better reason than this one's. */
const TEST_WITHIN_MS = 120_000;

/** Called at the top of a file. What it answers is the stack from the first test on. */
export function useStack(options: StackOptions = {}): Stack {
  setDefaultTimeout(TEST_WITHIN_MS);
  let stack: Stack | null = null;
  beforeAll(async () => {
    stack = await startStack(options);
  }, START_WITHIN_MS);
  afterAll(async () => {
    await stack?.close();
    stack = null;
  }, CLOSE_WITHIN_MS);
  return new Proxy({} as Stack, {
    get: (_, name) => {
      if (stack === null) throw new Error('the stack of this file runs during its tests alone');
      return Reflect.get(stack, name);
    },
  });
}
