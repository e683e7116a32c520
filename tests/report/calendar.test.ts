/** Where a day begins, also where clocks go back over midnight. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { dayStartMs, isDay } from '../../report/calendar.ts';
import { readFilter } from '../../report/filter.ts';
import { readPage } from '../../report/list.ts';
import { newId } from '../../shared/id.ts';
import { createDatabase, factsOf, messageEvent, newAccount, type TestDatabase, writeFacts } from './fixture.ts';

const ZONE = 'America/Havana';
let db: TestDatabase;
beforeAll(async () => {
  db = await createDatabase(Date.now, ZONE);
});
afterAll(() => db.close());

for (const [text, is] of [
  ['2026-11-23', true],
  ['2024-02-29', true],
  ['2026-02-30', false],
  ['0000-01-01', false],
  ['2026-1-1', false],
] as const) {
  test(`${text} is ${is ? 'a' : 'no'} day`, () => expect(isDay(text)).toBe(is));
}

for (const [zone, day, begins] of [
  ['Asia/Tehran', '2026-11-23', '2026-11-22T20:30:00Z'],
  // At its end the clocks went back to eleven.
  ['Asia/Tehran', '2021-09-22', '2021-09-21T20:30:00Z'],
  // Its first hour did not exist.
  ['Africa/Cairo', '2024-04-26', '2024-04-25T22:00:00Z'],
  // Its first hour came twice.
  ['America/Havana', '2025-11-02', '2025-11-02T04:00:00Z'],
  ['Atlantic/Azores', '2025-10-26', '2025-10-26T00:00:00Z'],
] as const) {
  test(`${day} begins in ${zone} at ${begins}, and each of its quarters is its own`, async () => {
    const { sql } = db;
    const [row] = await sql<{ ms: number }[]>`SELECT ${dayStartMs(sql, sql`${day}::date`, zone)} AS ms`;
    expect(new Date(row?.ms as number)).toEqual(new Date(begins));
    const astray = await sql`
      SELECT at FROM (
        SELECT at, (at AT TIME ZONE ${zone})::date AS day
        FROM generate_series(${begins}::timestamptz - interval '1 day', ${begins}::timestamptz + interval '1 day', interval '15 minutes') AS at
      ) AS quarters
      WHERE extract(epoch FROM at) * 1000 < ${dayStartMs(sql, sql`day`, zone)}
        OR extract(epoch FROM at) * 1000 >= ${dayStartMs(sql, sql`(day + 1)`, zone)}`;
    expect(astray).toHaveLength(0);
  });
}

test('what was accepted in an hour that came twice is in its day, in every list', async () => {
  const user_id = newAccount();
  const ids = ['2025-11-02T03:50:00Z', '2025-11-02T04:10:00Z', '2025-11-02T05:10:00Z'].map((iso) =>
    newId(Date.parse(iso)),
  );
  const events = ids.map((id, i) =>
    messageEvent({ user_id, id, accepted_at: Date.parse('2025-11-02T03:50:00Z') + i * 1_200_000, type: 'normal' }),
  );
  for (const event of events) await writeFacts(db.writer, factsOf(event));
  const list = async (query: Parameters<typeof readFilter>[1]) => {
    const { items } = await readPage(db.store, user_id, await readFilter(db.store, query), 10);
    return items.map(({ message_id }) => message_id);
  };
  const newestFirst = [...ids].reverse();
  expect(await list({})).toEqual(newestFirst);
  expect(await list({ type: 'normal' })).toEqual(newestFirst);
  const day = { from: '2025-11-02', to: '2025-11-02' };
  expect(await list(day)).toEqual(newestFirst.slice(0, 2));
  expect(await list({ ...day, type: 'normal' })).toEqual(newestFirst.slice(0, 2));
  const { counts } = await readPage(db.store, user_id, await readFilter(db.store, day), 10);
  expect(counts.queued).toBe(2);
});
