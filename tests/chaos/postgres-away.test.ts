/** The fear: PostgreSQL is away, and with it goes the sending, or what happened meanwhile. */
import { expect, test } from 'bun:test';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
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
