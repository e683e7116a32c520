import { expect, test } from 'bun:test';
import { javaMajor } from '../../../local/servers/kafka.ts';
import { isNewEnough } from '../../../local/servers/redis.ts';

test.each([
  ['openjdk version "17.0.15" 2025-04-15', 17],
  ['openjdk version "21" 2023-09-19', 21],
  ['java version "1.8.0_392"', 8],
  ['Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "25-ea" 2025-09-16', 25],
  ['The operation couldn’t be completed. Unable to locate a Java Runtime.', 0],
])('the major version of %p is %p', (printed, major) => {
  expect(javaMajor(printed)).toBe(major);
});

test.each([
  ['Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64', true],
  ['Redis server v=6.2.11 sha=00000000:0 malloc=libc bits=64', true],
  ['Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64', false],
  ['Redis server v=5.0.7', false],
  ['', false],
])('%p is a Redis to use: %p', (printed, answer) => {
  expect(isNewEnough(printed)).toBe(answer);
});
