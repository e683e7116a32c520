import { expect, test } from 'bun:test';
import { resolve } from 'node:path';
import { readOptions, SCENARIOS, USAGE } from '../../bench/options.ts';

test('without arguments it is send at 64 and 256 connections for 20 s, after 30 s of warm-up, with 50 accounts', () => {
  expect(readOptions([])).toMatchObject({
    scenarios: ['send'],
    connections: [64, 256],
    seconds: 20,
    warmUpS: 30,
    accounts: 50,
    connector: 'http',
    peer: null,
  });
});

test('a peer is met by the way that it goes itself, unless another is asked for', () => {
  expect(readOptions(['--peer', 'kannel'])?.connector).toBe('smpp');
  expect(readOptions(['--peer', 'kannel', '--operator', 'http'])?.connector).toBe('http');
});

test('all stands for every scenario, and each can be named', () => {
  expect(readOptions(['all'])?.scenarios).toEqual([...SCENARIOS]);
  expect(readOptions(['idle', 'rate'])?.scenarios).toEqual(['idle', 'rate']);
});

test("PostgreSQL's folder is from where the command was given, and none unless it is named", () => {
  expect(readOptions(['--postgres', 'programs'])?.postgresBin).toBe(resolve('programs'));
  expect(readOptions([])?.postgresBin).toBe('');
});

test('every problem of a command line is named at once', () => {
  const wrong = ['nonsense', '--seconds', '0', '--connections', '64,x', '--operator', 'fax', '--peer', 'jasmin'];
  const told = (() => {
    try {
      readOptions(wrong);
      return '';
    } catch (thrown) {
      return (thrown as Error).message;
    }
  })();
  for (const part of ['nonsense', '--seconds', '--connections', '--operator', '--peer']) expect(told).toContain(part);
  expect(told.split('\n')).toHaveLength(5);
});

test('the usage names every scenario and asks for nothing else', () => {
  expect(readOptions(['--help'])).toBeNull();
  for (const name of SCENARIOS) expect(USAGE).toContain(name);
});
