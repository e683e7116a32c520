import { expect, test } from 'bun:test';
import { auditOf, type ReportTotals } from '../../billing/accounts.ts';

const BOOKS = { available: 70, held: 10, posted: 20, topped_up: 100, open: 2 };
const totals = (topped_up: number, posted: number): ReportTotals => ({
  topped_up,
  posted,
  watermark: { records_behind: 0, read_until: '2026-11-22T20:00:00.000Z' },
});

test('equal sums on both sides and nothing lost in between are balanced', () => {
  expect(auditOf('a', BOOKS, totals(100, 20))).toEqual({
    user_id: 'a',
    redis: { available: 70, held: 10, posted: 20, topped_up: 100, open_holds: 2 },
    postgres: { topped_up: 100, posted: 20 },
    lag: { topped_up: 0, posted: 0, records: 0, read_until: '2026-11-22T20:00:00.000Z' },
    balanced: true,
  });
});

test.each<[string, typeof BOOKS, ReportTotals | null]>([
  ['a Rial is missing in Redis', { ...BOOKS, available: 69 }, totals(100, 20)],
  ['a Rial was made in Redis', { ...BOOKS, held: 11 }, totals(100, 20)],
  ['a balance is below zero, though the sum is right', { ...BOOKS, available: -10, held: 90 }, totals(100, 20)],
  ['PostgreSQL has not read a top-up', BOOKS, totals(90, 20)],
  ['PostgreSQL has read a top-up that Redis does not know', BOOKS, totals(101, 20)],
  ['PostgreSQL has not read a settlement', BOOKS, totals(100, 10)],
  ['PostgreSQL counted a settlement twice', BOOKS, totals(100, 40)],
  ['the report is silent', BOOKS, null],
])('the books do not balance when %s', (_, books, report) => {
  expect(auditOf('a', books, report).balanced).toBe(false);
});
