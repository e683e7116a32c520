import { expect, test } from 'bun:test';
import { receiptPublisher } from '../../dispatcher/receipts.ts';
import type { Producer } from '../../shared/kafka-producer.ts';
import { parseOperators } from '../../shared/sms/operators.ts';

const operators = () => {
  const smpp = (prefix: string, over = {}) => ({
    prefixes: [prefix],
    connector: 'smpp',
    smpp: { host: '127.0.0.1', port: 2775, system_id: 'a', password: 'b', ...over },
  });
  const parsed = parseOperators({
    operators: {
      MCI: smpp('910'),
      Whole: smpp('911', { long_message: 'payload' }),
      MTN: { prefixes: ['935'], connector: 'http', http: { url: 'http://127.0.0.1:1/' } },
    },
  });
  if (!parsed.ok) throw new Error(parsed.problems.join('\n'));
  return parsed.file.operators;
};

test.each([
  ['MCI', true],
  ['Whole', undefined],
  ['MTN', undefined],
])('a receipt of %s is of one part: %p', async (operator, part) => {
  const sent: string[] = [];
  const producer = { waiting: 0, send: async ({ value }: { value: string }) => void sent.push(value) };
  const publish = receiptPublisher(producer as unknown as Producer, operators);
  await publish(operator, { operatorId: '1', status: 'delivered', error: null, at: 1 });
  expect(sent.map((value) => JSON.parse(value).part)).toEqual([part]);
});
