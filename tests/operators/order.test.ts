/** The fear: a message waits while hundreds that were accepted after it go to the operator. */
import { expect, test } from 'bun:test';
import { e164, newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { useStack } from '../support/use-stack.ts';
import { arrivals, assertNothingDoubled, figure, sendAll, three } from './scene.ts';

const ACCOUNTS = 12;
const EACH = 400;
/** More than one fetch brings from one partition, less than from two: it is full between two partitions of one operator. */
const QUEUE_MAX = 1_200;
/** Claims on their way at once may pass each other, and a window's submits. */
const OVERTAKERS_MAX = 250;

const stack = useStack({ operators: three({ MCI: { smpp: { window: 32 } } }) });

test('a backlog that fills its queue goes out oldest first, in whatever partitions it stands', async () => {
  await stack.stop('dispatcher');
  const accountOf = new Map<string, number>();
  for (let account = 0; account < ACCOUNTS; account += 1) {
    const phones = Array.from({ length: EACH }, () => newPhone('912'));
    await stack.charge(`orderly-${account}`, 10_000_000);
    await sendAll(
      stack,
      `orderly-${account}`,
      phones.map((phone) => ({ phone })),
    );
    for (const phone of phones) accountOf.set(e164(phone), account);
  }
  await stack.restart('dispatcher', { QUEUE_MAX: String(QUEUE_MAX) });
  await until('all of it is sent', () => stack.simulator.counters('mci').messages >= accountOf.size, {
    withinMs: 60_000,
  });
  assertNothingDoubled(stack);

  const arrived = [...arrivals(stack, 'mci')].sort(([, a], [, b]) => a - b);
  // One account's were accepted at one instant: they are behind where others go before them that came after.
  const behind = Math.max(...arrived.map(([phone], turn) => turn + 1 - EACH * ((accountOf.get(phone) as number) + 1)));
  figure('younger messages that went before an older one', behind);
  expect(behind).toBeLessThan(OVERTAKERS_MAX);
}, 120_000);
