import { expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import type { Page } from '../support/api.ts';
import { type Answer, ask } from '../support/http.ts';
import { until } from '../support/poll.ts';
import { assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';

/** The calls of the README, letter by letter. */
const CHARGE = `curl --request POST \\
  --url 'http://localhost:8081/charge/123?amount=123456'`;
const SEND = `curl --request POST \\
  --url http://localhost:7070/send \\
  --header 'Content-Type: application/json' \\
  --data '{
    "phone": "09121234567",
    "text": "کد تایید: 1234",
    "type": "express",
    "user_id": "123"
  }'`;
const REPORT = `curl --request GET \\
  --url http://localhost:6070/report/123`;

const stack = useStack();

/** Lets the shell split a curl call into its words, and makes the request they mean; the ports alone are the stack's own. */
function curl<T>(command: string): Promise<Answer<T>> {
  const script = `curl() { printf '%s\\0' "$@"; }; ${command}`;
  const words = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1);
  const options = new Map<string, string>();
  for (let i = 0; i < words.length; i += 2) options.set(words[i] as string, words[i + 1] as string);
  const port = (service: 'billing' | 'gateway' | 'report') => new URL(stack.urls[service]).port;
  const url = (options.get('--url') as string)
    .replace(':8081/', `:${port('billing')}/`)
    .replace(':7070/', `:${port('gateway')}/`)
    .replace(':6070/', `:${port('report')}/`);
  const [name, value] = (options.get('--header') ?? 'accept: */*').split(': ') as [string, string];
  const body = options.get('--data');
  return ask<T>(options.get('--request') as string, url, { headers: { [name]: value }, ...(body ? { body } : {}) });
}

test('the three calls of the README charge an account, send a message and show it as sent by MCI', async () => {
  const charged = await curl<Record<string, unknown>>(CHARGE);
  expect(charged.status).toBe(200);
  expect(charged.json).toEqual({
    user_id: '123',
    transaction_id: expect.any(String),
    amount: 123_456,
    available: 123_456,
  });

  const sent = await curl<Record<string, unknown>>(SEND);
  expect(sent.status).toBe(202);
  expect(sent.json).toEqual({
    message_id: expect.any(String),
    status: 'queued',
    user_id: '123',
    operator: 'MCI',
    encoding: 'ucs2',
    pages: 1,
    price: 1_250,
  });

  const report = await until(
    'the report shows the message as sent',
    async () => {
      const { status, json } = await curl<Page>(REPORT);
      expect(status).toBe(200);
      return json.items[0]?.status === 'sent' && json;
    },
    { withinMs: 10_000 },
  );
  expect(report).toEqual({
    user_id: '123',
    items: [
      expect.objectContaining({
        message_id: sent.json.message_id,
        phone: '+989121234567',
        text: 'کد تایید: 1234',
        type: 'express',
        status: 'sent',
        operator: 'MCI',
        price: 1_250,
        posted: 1_250,
        attempts: 1,
        error: null,
        flags: [],
      }),
    ],
    counts: expect.objectContaining({ sent: 1 }),
    next_cursor: null,
  });
  expect((await stack.balance('123')).available).toBe(123_456 - 1_250);
  const [record] = stack.simulator.records('mci');
  expect(record).toMatchObject({ message_id: sent.json.message_id, text: 'کد تایید: 1234', received: 1, accepted: 1 });
  await assertSettled(stack, '123', 1_250);
});
