import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { ROOT } from '../../local/places.ts';
import { importPorted } from '../../shared/ported.ts';
import type { Problem } from '../support/api.ts';
import { e164, newPhone } from '../support/phones.ts';
import { until } from '../support/poll.ts';
import { assertDrained, assertSettled } from '../support/settled.ts';
import { useStack } from '../support/use-stack.ts';
import { isBound, recordOf, three } from './scene.ts';

const PERSIAN = 'کد تایید شما';
const stack = useStack({
  operators: three({
    MCI: { wrong_network_codes: ['0x400'] },
    MTN: { wrong_network_codes: ['0x400'] },
    Rightel: { wrong_network_codes: [422] },
  }),
});

type Ported = { phone: string; operator: string; until: string | null; source: string; at: string | null };
const ported = (method: string, phone: string, json?: unknown) =>
  stack.call<Ported & Problem>('dispatcher', method, `/ported-numbers/${encodeURIComponent(phone)}`, { json });

/** These operators say of the number that it is another's. */
function refuse(phone: string, ...operators: string[]): void {
  for (const name of operators) {
    const { rules } = stack.simulator.dials(name);
    stack.simulator.dials(name, { rules: [...rules, { match: phone.slice(1), outcome: 'wrong_network' }] });
  }
}

/** The gateway's operator for a number, once it is this one; nothing is sent. */
const routedTo = (phone: string, operator: string) =>
  until(
    `the gateway prices the number by ${operator}`,
    async () => {
      const preview = (text: string) =>
        stack.call<{ price: number }>('gateway', 'POST', '/preview', { json: { text, phone } });
      return (await preview(PERSIAN)).json.price === PRICE[operator];
    },
    { withinMs: 3_000, everyMs: 20 },
  );
/** prices.json, one page of Persian text, normal. */
const PRICE: Readonly<Record<string, number>> = { MCI: 890, MTN: 980, Rightel: 940 };

test("a number that another operator carries is found there, remembered, priced by it and sent straight there, also after the dispatcher's restart", async () => {
  await stack.charge('moved', 1_000_000);
  await isBound(stack, 'MCI');
  await isBound(stack, 'MTN');
  const phone = newPhone('912');
  refuse(phone, 'mci');
  const send = () => stack.send({ phone, user_id: 'moved', text: PERSIAN });
  const first = await send();
  expect(first).toMatchObject({ operator: 'MCI', price: PRICE.MCI });
  const message = await stack.final(first.message_id);
  expect(message).toMatchObject({ status: 'sent', operator: 'MTN', attempts: 1, flags: ['rerouted'] });
  const { json } = await ported('GET', phone);
  expect(json).toMatchObject({ phone: e164(phone), operator: 'MTN', source: 'learned' });
  expect(Date.parse(json.until as string)).toBeGreaterThan(Date.now() + 29 * 86_400_000);

  await routedTo(phone, 'MTN');
  const second = await send();
  expect(second).toMatchObject({ operator: 'MTN', price: PRICE.MTN });
  expect(await stack.final(second.message_id)).toMatchObject({ status: 'sent', operator: 'MTN', flags: [] });

  await stack.restart('dispatcher');
  expect((await ported('GET', phone)).json).toEqual(json);
  const third = await send();
  expect(await stack.final(third.message_id)).toMatchObject({ status: 'sent', operator: 'MTN' });
  expect(recordOf(stack, 'mci', phone)).toMatchObject({ received: 1, accepted: 0 });
  expect(recordOf(stack, 'mtn', phone)).toMatchObject({ received: 3, accepted: 3 });
  await assertSettled(stack, 'moved', first.price + second.price + third.price);
});

test('a second operator that does not carry the number either ends the message: refunded, and nothing is remembered', async () => {
  await stack.charge('nobody', 100_000);
  await isBound(stack, 'MTN');
  const phone = newPhone('912');
  refuse(phone, 'mci', 'mtn');
  const sent = await stack.send({ phone, user_id: 'nobody' });
  expect(await stack.final(sent.message_id)).toMatchObject({
    status: 'failed',
    posted: 0,
    attempts: 1,
    error: 'smpp_0x00000400',
    flags: ['rerouted'],
  });
  expect(recordOf(stack, 'mci', phone)).toMatchObject({ received: 1, accepted: 0 });
  expect(recordOf(stack, 'mtn', phone)).toMatchObject({ received: 1, accepted: 0 });
  expect(recordOf(stack, 'rightel', phone)).toBeUndefined();
  expect((await ported('GET', phone)).status).toBe(404);
  await assertSettled(stack, 'nobody', 0);
});

test('an HTTP operator says it as well, and what was learned wrongly is unlearned', async () => {
  await stack.charge('wrongly', 100_000);
  const phone = newPhone('920');
  refuse(phone, 'rightel');
  const first = await stack.send({ phone, user_id: 'wrongly' });
  expect(await stack.final(first.message_id)).toMatchObject({ status: 'sent', operator: 'MCI', flags: ['rerouted'] });
  expect((await ported('GET', phone)).json.operator).toBe('MCI');
  refuse(phone, 'mci', 'mtn');
  const second = await stack.send({ phone, user_id: 'wrongly' });
  expect(await stack.final(second.message_id)).toMatchObject({ status: 'failed', error: 'smpp_0x00000400' });
  await until('it is forgotten', async () => (await ported('GET', phone)).status === 404);
  await assertSettled(stack, 'wrongly', first.price);
});

test('a number is entered and forgotten by hand; what names no operator or is no number is refused', async () => {
  await stack.charge('byhand', 100_000);
  const phone = newPhone('912');
  expect((await ported('PUT', phone, { operator: 'Rightel' })).json).toMatchObject({
    phone: e164(phone),
    operator: 'Rightel',
    until: null,
    source: 'entered',
  });
  await routedTo(phone, 'Rightel');
  const entered = await stack.send({ phone, user_id: 'byhand' });
  expect(await stack.final(entered.message_id)).toMatchObject({ status: 'sent', operator: 'Rightel' });
  expect((await ported('DELETE', phone)).status).toBe(204);
  expect((await ported('GET', phone)).status).toBe(404);
  expect((await ported('DELETE', phone)).json).toMatchObject({ status: 404, code: 'not_found' });
  await routedTo(phone, 'MCI');
  const forgotten = await stack.send({ phone, user_id: 'byhand' });
  expect(await stack.final(forgotten.message_id)).toMatchObject({ status: 'sent', operator: 'MCI' });
  for (const [path, body] of [
    [phone, { operator: 'Nobody' }],
    ['0211234567', { operator: 'MCI' }],
    [phone, { operator: 'MCI', days: 0 }],
  ] as const)
    expect((await ported('PUT', path, body)).json).toMatchObject({ status: 422, code: 'invalid_request' });
  await assertSettled(stack, 'byhand', entered.price + forgotten.price);
});

test('a remembered number is forgotten when its time is over, and a renewed one is not', async () => {
  const [old, renewed] = [newPhone('912'), newPhone('912')];
  const redis = new Redis(stack.settings.REDIS_URL as string);
  const until = Date.now() + 1_500;
  const entry = { operator: 'MTN', source: 'learned', at: Date.now() } as const;
  await importPorted(redis, [
    [e164(old), { ...entry, until }],
    [e164(renewed), { ...entry, until }],
  ]);
  await routedTo(old, 'MTN');
  await ported('PUT', renewed, { operator: 'MTN', days: 1 });
  await routedTo(old, 'MCI');
  await routedTo(renewed, 'MTN');
  expect((await ported('GET', old)).status).toBe(404);
  expect((await ported('GET', renewed)).json.source).toBe('entered');
  expect(await redis.hexists('ported:numbers', e164(renewed))).toBe(1);
  redis.disconnect();
});

async function runImport(lines: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  const file = join(stack.dir, 'ported.csv');
  writeFileSync(file, lines.join('\n'));
  const child = spawn(process.execPath, [join(ROOT, 'dispatcher', 'import-ported.ts'), file], {
    env: stack.settings,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out, err };
}

test('many numbers are imported from a file at once, more than the list of changes keeps; a file with a bad line changes nothing', async () => {
  const phones = Array.from({ length: 25_000 }, () => newPhone('912'));
  const good = ['phone,operator,days', ...phones.map((phone) => `${phone},MTN`)];
  const bad = await runImport([...good, '09121111111,Nobody', '0211234567,MCI']);
  expect(bad).toMatchObject({ code: 1, out: '' });
  expect(bad.err).toContain('line 25002: there is no such operator');
  expect(bad.err).toContain('line 25003: the number is not an Iranian mobile number');
  expect((await ported('GET', phones[0] as string)).status).toBe(404);

  expect(await runImport(good)).toMatchObject({ code: 0, err: '' });
  for (const phone of [phones[0], phones[12_345], phones.at(-1)] as string[]) {
    await routedTo(phone, 'MTN');
    await until('the dispatcher knows it', async () => (await ported('GET', phone)).json.source === 'imported');
  }
  await assertDrained(stack);
});
