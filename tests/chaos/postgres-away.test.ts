/** The fear: PostgreSQL is away, and with it goes the sending, or what happened meanwhile. */
import { expect, test } from 'bun:test';
import postgres from 'postgres';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { wordsOf } from '../support/stack.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack({ ownPostgres: true });

test('without PostgreSQL messages are sent and paid; reports say that they cannot answer; afterwards nothing is missing', async () => {
  const database = stack.servers.postgres as LocalServer;
  await stack.charge('blind', 100_000);
  await database.kill();
  const messages = Array.from({ length: 30 }, (_, i) => ({ phone: newPhone('912'), text: `unseen ${i}` }));
  const { results } = await stack.sendBatch('blind', messages);
  const sent = results.map((result) => ('message_id' in result ? result : { message_id: '', price: Number.NaN }));
  await stack.charge('blind', 5);
  await until('the operator has them all', () => stack.simulator.counters('mci').accepted === 30);
  const spent = sent.reduce((sum, { price }) => sum + price, 0);
  await until('all are paid', async () => (await stack.balance('blind')).posted === spent);

  const page = await stack.call<{ code: string }>('report', 'GET', '/report/blind', { timeoutMs: 30_000 });
  expect([page.status, page.json.code]).toEqual([503, 'unavailable']);
  await until(
    'the report says that it is not ready',
    async () => {
      const { status } = await stack.call('report', 'GET', '/health/ready', { timeoutMs: 30_000 });
      return status === 503;
    },
    { withinMs: 30_000 },
  );
  const audit = await stack.audit('blind');
  expect([audit.postgres, audit.balanced]).toEqual([null, false]);

  await database.restart();
  for (const { message_id } of sent) expect((await stack.final(message_id, 60_000)).status).toBe('sent');
  const settled = await assertSettled(stack, 'blind', spent, 40_000);
  expect(settled.postgres?.topped_up).toBe(100_005);
  await assertDrained(stack);
  expect((await stack.call('report', 'GET', '/health/ready')).status).toBe(200);
});

test('what PostgreSQL had taken the moment it was killed is in the report afterwards, though the report lived on', async () => {
  const database = stack.servers.postgres as LocalServer;
  await stack.charge('blink', 1_000_000);
  const sent: string[] = [];
  for (let round = 0; round < 4; round += 1) {
    const { message_id } = await stack.sendUntilAccepted({ phone: newPhone('912'), user_id: 'blink' });
    sent.push(message_id);
    const sql = postgres(stack.servers.databaseUrl, { max: 1, onnotice: () => undefined });
    // Seen by another session is committed; the pages of it may be in no file yet.
    await until(
      'the row is there',
      async () => (await sql`SELECT 1 FROM messages WHERE id = ${message_id}`).length > 0,
      // Not how soon is the question: a busy machine may take its time for what PostgreSQL does after a crash.
      { everyMs: 1, withinMs: 60_000 },
    ).catch((thrown: Error) => {
      throw new Error(`round ${round}: ${thrown.message}\n${wordsOf(stack, 'report')}`, { cause: thrown });
    });
    await database.kill();
    await sql.end({ timeout: 1 });
    await database.restart();
  }
  for (const id of sent) expect(await stack.final(id, 60_000)).toMatchObject({ user_id: 'blink', status: 'sent' });
  await assertDrained(stack);
});
