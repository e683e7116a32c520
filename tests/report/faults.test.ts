import { describe, expect, test } from 'bun:test';
import { answersWithin, ask, type Fault, faultOf } from '../../report/faults.ts';

const failure = (code: string, message = 'x') => Object.assign(new Error(message), { code });

describe('what PostgreSQL refuses with', () => {
  test.each<[string, string, Fault]>([
    ['ECONNREFUSED', '', 'away'],
    ['CONNECTION_CLOSED', '', 'away'],
    ['57P03', 'starting up', 'away'],
    ['57014', 'statement timeout', 'away'],
    ['08006', '', 'away'],
    ['40P01', 'deadlock', 'conflict'],
    ['40001', 'serialization', 'conflict'],
    ['23514', 'no partition of relation "messages" found for row', 'partition'],
    ['23514', 'a check', 'data'],
    ['22021', 'invalid byte sequence', 'data'],
    ['54000', 'index row size', 'data'],
    ['53100', 'disk full', 'other'],
    ['42P01', 'no such table', 'other'],
  ])('%s %s is %s', (code, message, fault) => {
    expect(faultOf(failure(code, message))).toBe(fault);
  });

  test('anything else that is thrown is of another kind', () => {
    for (const thrown of [null, undefined, 'text', 7, {}, new Error('x')]) expect(faultOf(thrown)).toBe('other');
  });

  test('is unavailable to a caller when it is away, also where drizzle wrapped it; else it is thrown on', async () => {
    const wrapped = new Error('query failed', { cause: failure('ECONNREFUSED') });
    for (const thrown of [failure('57P01'), wrapped])
      await expect(ask(() => Promise.reject(thrown))).rejects.toMatchObject({ code: 'unavailable' });
    const fault = failure('42P01');
    await expect(ask(() => Promise.reject(fault))).rejects.toBe(fault);
  });
});

test('work that is not done in time counts as away; done work passes', async () => {
  const never = new Promise<never>(() => undefined);
  expect(faultOf(await answersWithin(5, never).catch((thrown: unknown) => thrown))).toBe('away');
  expect(await answersWithin(1_000, Promise.resolve(7))).toBe(7);
});
