import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { DEFAULT_DIALS, dialProblems } from '../../simulator/dials.ts';
import { type Simulator, startSimulator } from '../../simulator/index.ts';
import { post } from './peers.ts';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({
    httpPort: 0,
    smppPort: 0,
    dials: { '*': { latency_ms: 1 }, MTN: { seed: 9 } },
  });
});
afterEach(() => simulator.reset());
afterAll(() => simulator.close());

async function ask(
  method: string,
  path: string,
  body?: unknown,
  // biome-ignore lint/suspicious/noExplicitAny: the answers are checked by the expectations.
): Promise<{ status: number; type: string | null; body: any }> {
  const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
  const response = await fetch(`${simulator.httpUrl}${path}`, { method, ...sent });
  return { status: response.status, type: response.headers.get('content-type'), body: await response.json() };
}

describe('dials', () => {
  test('start as the configuration says: for all, then by operator', () => {
    expect(simulator.dials('mci')).toEqual({ ...DEFAULT_DIALS, latency_ms: 1 });
    expect(simulator.dials('mtn')).toEqual({ ...DEFAULT_DIALS, latency_ms: 1, seed: 9 });
  });

  test('PUT sets those it names and leaves the others, nested ones too', async () => {
    const { status, body } = await ask('PUT', '/control/MTN/dials', {
      throttle_tps: 7,
      receipts: { mode: 'deliver', delay_ms: 5 },
    });
    expect(status).toBe(200);
    expect(body).toEqual({
      ...DEFAULT_DIALS,
      latency_ms: 1,
      seed: 9,
      throttle_tps: 7,
      receipts: { ...DEFAULT_DIALS.receipts, mode: 'deliver', delay_ms: 5 },
    });
    expect((await ask('GET', '/control/mtn/dials')).body).toEqual(body);
    expect(simulator.dials('mci').throttle_tps).toBe(0);
  });

  test('what does not fit is 422 by field, and nothing of it is set', async () => {
    const answer = await ask('PUT', '/control/mtn/dials', {
      throttle_tps: 7,
      latency_ms: -1,
      volume: 11,
      rules: [{ outcome: 'explode' }, { match: '(', outcome: 'reject', share: 2 }, 'x', { outcome: 'accept', time: 1 }],
      receipts: { mode: 'deliver', callback_url: 'ftp://x', dely_ms: 1 },
      freeze: 'yes',
    });
    expect(answer.status).toBe(422);
    expect(answer.type).toBe('application/problem+json');
    expect(answer.body).toMatchObject({ status: 422, code: 'invalid_request' });
    expect(answer.body.errors.map(({ field }: { field: string }) => field).sort()).toEqual([
      'freeze',
      'latency_ms',
      'receipts.callback_url',
      'receipts.dely_ms',
      'rules[0].outcome',
      'rules[1].match',
      'rules[1].share',
      'rules[2]',
      'rules[3].time',
      'volume',
    ]);
    expect(simulator.dials('mtn').throttle_tps).toBe(0);
    expect(() => simulator.dials('mtn', { latency_ms: 0.5 })).toThrow('These dials cannot be set.');
  });

  test('every dial at its default passes its own check, and each refuses nonsense', () => {
    expect(dialProblems(DEFAULT_DIALS)).toEqual([]);
    for (const name of Object.keys(DEFAULT_DIALS)) expect(dialProblems({ [name]: 'nonsense' })).not.toEqual([]);
    for (const name of Object.keys(DEFAULT_DIALS.receipts)) {
      expect(dialProblems({ receipts: { [name]: 'nonsense' } })).not.toEqual([]);
    }
    for (const value of [null, [], 1, 'x', undefined]) expect(dialProblems(value)).toHaveLength(1);
  });

  test('a reset forgets what came and returns to the dials of the start', async () => {
    simulator.dials('mtn', { throttle_tps: 1, rules: [{ outcome: 'reject' }] });
    simulator.dials('mci', { throttle_tps: 1 });
    await post(simulator, 'mtn', { message_id: 'm1', to: '+989351234567' });
    expect((await ask('POST', '/control/mtn/reset')).body).toEqual({ reset: ['mtn'] });
    expect(simulator.dials('mtn')).toEqual({ ...DEFAULT_DIALS, latency_ms: 1, seed: 9 });
    expect(simulator.dials('mci').throttle_tps).toBe(1);
    expect(simulator.counters('mtn')).toMatchObject({ received: 0, rejected: 0, records: 0, per_second: {} });
    expect((await ask('POST', '/control/reset')).body).toEqual({ reset: ['mci', 'mtn', 'rightel'] });
    expect(simulator.dials('mci').throttle_tps).toBe(0);
  });
});

describe('questions', () => {
  test('HTTP answers what the functions answer', async () => {
    for (const [id, to] of [
      ['m1', '+989351111111'],
      ['m2', '+989352222222'],
      ['m3', '+989352222222'],
    ] as const) {
      await post(simulator, 'mtn', { message_id: id, to });
    }
    const records = async (query: string): Promise<string[]> =>
      (await ask('GET', `/control/mtn/records${query}`)).body.items.map(
        (one: { message_id: string }) => one.message_id,
      );
    expect(await records('')).toEqual(['m3', 'm2', 'm1']);
    expect(await records('?limit=1')).toEqual(['m3']);
    expect(await records('?message_id=m2')).toEqual(['m2']);
    expect(await records('?to=%2B989352222222')).toEqual(['m3', 'm2']);
    expect(await records('?to=+989352222222&message_id=m2')).toEqual(['m2']);
    expect((await ask('GET', '/control/mtn/records')).body.items).toEqual(simulator.records('mtn'));
    expect((await ask('GET', '/control/mtn/counters')).body).toEqual(simulator.counters('mtn'));
    expect((await ask('GET', '/control/counters')).body).toEqual(simulator.counters());
    expect((await ask('GET', '/control/mtn/duplicates')).body).toEqual(simulator.duplicates('mtn'));
    expect((await ask('GET', '/control/operators')).body).toEqual({ operators: ['mci', 'mtn', 'rightel'] });
  });

  test('health answers', async () => {
    expect(await ask('GET', '/health/live')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(await ask('GET', '/health/ready')).toMatchObject({ status: 200, body: { status: 'ok' } });
  });

  const refused: readonly (readonly [method: string, path: string, status: number, body?: string])[] = [
    ['GET', '/control/nobody/dials', 404],
    ['GET', '/control/mtn/nothing', 404],
    ['GET', '/control/mtn/dials/more', 404],
    ['GET', '/control', 404],
    ['DELETE', '/control/mtn/dials', 404],
    ['GET', '/mtn', 404],
    ['POST', '/nobody', 404],
    ['GET', '/', 404],
    ['GET', '/control/%/dials', 422],
    ['GET', '/control/mtn/records?limit=many', 422],
    ['PUT', '/control/mtn/dials', 400, '{'],
    ['PUT', '/control/mtn/dials', 422, '[]'],
  ];
  for (const [method, path, status, body] of refused) {
    test(`${method} ${path} ${body ?? ''} is a problem of ${status}`, async () => {
      const answer = await ask(method, path, body);
      expect(answer).toMatchObject({ status, type: 'application/problem+json', body: { status } });
    });
  }

  test('a port that is taken is said in one sentence that names the setting', async () => {
    await expect(startSimulator({ httpPort: simulator.httpPort, smppPort: 0 })).rejects.toThrow(
      /is taken.*SIMULATOR_HTTP_PORT/,
    );
    await expect(startSimulator({ httpPort: 0, smppPort: simulator.smppPort })).rejects.toThrow(
      /is taken.*SIMULATOR_SMPP_PORT/,
    );
  });
});
