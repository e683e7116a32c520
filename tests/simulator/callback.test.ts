import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Simulator, startSimulator } from '../../simulator/index.ts';
import { post, until } from './peers.ts';

type Receipt = { id: string; status: string; at: string; error?: string };

let simulator: Simulator;
let hook: Server;
let url: string;
let statuses: number[] = [];
const receipts: Receipt[] = [];
const paths: string[] = [];

beforeAll(async () => {
  simulator = await startSimulator({ httpPort: 0, smppPort: 0 });
  hook = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      receipts.push(JSON.parse(body));
      paths.push(`${request.method} ${request.url} ${request.headers['content-type']}`);
      response.writeHead(statuses.shift() ?? 202).end();
    });
  });
  await new Promise<void>((ready) => hook.listen(0, '127.0.0.1', ready));
  url = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/receipts/Rightel`;
});
afterEach(() => {
  simulator.reset();
  receipts.length = 0;
  paths.length = 0;
  statuses = [];
});
afterAll(async () => {
  await simulator.close();
  hook.closeAllConnections();
  await new Promise((closed) => hook.close(closed));
});

const submit = async (id: string): Promise<string> => {
  const response = await post(simulator, 'rightel', { message_id: id, to: '+989201234567' });
  return ((await response.json()) as { id: string }).id;
};

describe('receipts of an HTTP operator', () => {
  test('an accepted message’s receipt is posted once to the address set', async () => {
    simulator.dials('rightel', { receipts: { mode: 'deliver', callback_url: url } });
    const id = await submit('m1');
    await submit('m1');
    await until('the receipt', () => simulator.counters('rightel').receipts_answered === 1);
    expect(receipts).toEqual([{ id, status: 'delivered', at: expect.stringMatching(/^20.*Z$/) }]);
    expect(paths).toEqual(['POST /receipts/Rightel application/json']);
  });

  test('an undelivered one says so with its error, a doubled one comes twice', async () => {
    simulator.dials('rightel', {
      receipts: { mode: 'deliver', callback_url: url, share_undelivered: 1, double: true },
    });
    const id = await submit('m1');
    await until('the receipts', () => simulator.counters('rightel').receipts_answered === 2);
    const one = { id, status: 'undelivered', error: '001', at: expect.any(String) };
    expect(receipts).toEqual([one, one]);
  });

  test('a missing one never comes, a refused message has none', async () => {
    simulator.dials('rightel', {
      rules: [{ outcome: 'reject', times: 1 }],
      receipts: { mode: 'deliver', callback_url: url, share_missing: 1 },
    });
    await submit('m1');
    expect(simulator.counters('rightel')).toMatchObject({ rejected: 1, receipts_missing: 0 });
    await submit('m1');
    expect(simulator.counters('rightel')).toMatchObject({ accepted: 1, receipts_missing: 1, receipts_sent: 0 });
  });

  test('an early one comes before the answer, a late one after its delay', async () => {
    simulator.dials('rightel', { latency_ms: 150, receipts: { mode: 'deliver', callback_url: url, early: true } });
    let answered = false;
    const asked = submit('m1').then(() => {
      answered = true;
    });
    await until('the receipt', () => receipts.length === 1);
    expect(answered).toBe(false);
    await asked;
    simulator.dials('rightel', { latency_ms: 0, receipts: { early: false, delay_ms: 80 } });
    const from = performance.now();
    await submit('m2');
    await until('the second receipt', () => receipts.length === 2);
    expect(performance.now() - from).toBeGreaterThanOrEqual(80);
  });

  test('one that is not taken is posted again', async () => {
    statuses = [500, 503];
    simulator.dials('rightel', { receipts: { mode: 'deliver', callback_url: url, retry_ms: 5 } });
    const id = await submit('m1');
    await until('the third try', () => simulator.counters('rightel').receipts_answered === 1);
    expect(receipts.map((one) => one.id)).toEqual([id, id, id]);
    expect(simulator.counters('rightel')).toMatchObject({ receipts_sent: 3, receipts_refused: 2 });
  });

  test('the receipt writes the id in its own form', async () => {
    simulator.dials('rightel', { id_form: 'hex_then_decimal', receipts: { mode: 'deliver', callback_url: url } });
    const id = await submit('m1');
    await until('the receipt', () => receipts.length === 1);
    expect(receipts[0]?.id).toBe(String(Number.parseInt(id, 16)));
    expect(receipts[0]?.id).not.toBe(id);
  });

  test('a reset cancels what was planned', async () => {
    simulator.dials('rightel', { receipts: { mode: 'deliver', callback_url: url, delay_ms: 40 } });
    await submit('m1');
    simulator.reset();
    simulator.dials('rightel', { receipts: { mode: 'deliver', callback_url: url, delay_ms: 60 } });
    const id = await submit('m2');
    await until('the second receipt', () => receipts.length === 1);
    expect(receipts[0]?.id).toBe(id);
  });
});
