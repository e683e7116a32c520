/** The fear: PostgreSQL counts a message twice or not at all, because the report died around a write. */
import { expect, test } from 'bun:test';
import { newPhone } from '../support/phones.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

for (const point of ['report.before_write', 'report.after_write'] as const) {
  test(`killed at ${point}, every message and every top-up is counted once`, async () => {
    await stack.charge(point, 100_000);
    await stack.arm('report', point);
    const messages = Array.from({ length: 20 }, (_, i) => ({ phone: newPhone('912'), text: `message ${i}` }));
    const { results } = await stack.sendBatch(point, messages);
    await stack.charge(point, 1);
    await stack.died('report');
    await stack.restart('report');
    let spent = 0;
    for (const result of results) {
      if (!('message_id' in result)) throw new Error('a message was refused');
      expect((await stack.final(result.message_id, 40_000)).status).toBe('sent');
      spent += result.price;
    }
    expect((await stack.report(point, '?limit=1')).counts.sent).toBe(20);
    await assertSettled(stack, point, spent);
    await assertDrained(stack);
  });
}
