import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { type Simulator, startSimulator } from '../../simulator/index.ts';
import { post, until } from './peers.ts';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({ httpPort: 0, smppPort: 0 });
});
beforeEach(() => simulator.reset());
afterAll(() => simulator.close());

const TO = '+989351234567';

async function submitted(id: string, to = TO): Promise<{ status: number; id: string }> {
  const response = await post(simulator, 'mtn', { message_id: id, to });
  const body = (await response.json()) as { id?: string };
  return { status: response.status, id: body.id ?? '' };
}

describe('accepting', () => {
  test('an accepted message is answered with the operator’s id and recorded as it was sent', async () => {
    const response = await post(simulator, 'MTN', {
      message_id: 'm1',
      to: TO,
      text: 'کد تایید: 1234 👍',
      encoding: 'ucs2',
    });
    expect(response.status).toBe(200);
    const { id } = (await response.json()) as { id: string };
    expect(id).toMatch(/^[0-9]+$/);
    const [record, ...others] = simulator.records('mtn', { messageId: 'm1' });
    expect(others).toEqual([]);
    expect(record).toMatchObject({
      message_id: 'm1',
      to: TO,
      from: '30001234',
      text: 'کد تایید: 1234 👍',
      encoding: 'ucs2',
      parts: 1,
      received: 1,
      accepted: 1,
      operator_ids: [id],
      smpp: null,
    });
    expect(simulator.records('mci')).toEqual([]);
    expect(simulator.records('mtn', { to: '0935 123 4567' })).toHaveLength(1);
    expect(simulator.records('mtn', { to: '+989351234568' })).toEqual([]);
  });

  test('a repeat of a message_id is answered with the same id and is not accepted twice', async () => {
    const first = await submitted('m1');
    const second = await submitted('m1');
    expect(second).toEqual(first);
    expect(simulator.counters('mtn')).toMatchObject({
      received: 2,
      accepted: 1,
      messages: 1,
      duplicates: 1,
      doubled: 0,
    });
    expect(simulator.records('mtn')).toMatchObject([{ received: 2, accepted: 1, operator_ids: [first.id] }]);
    expect(simulator.duplicates('mtn')).toEqual({});
  });

  test('without the removal of duplicates a repeat is accepted again, and is listed', async () => {
    simulator.dials('mtn', { dedupe: false });
    const ids = new Set([(await submitted('m1')).id, (await submitted('m1')).id, (await submitted('m1')).id]);
    await submitted('m2');
    expect(ids.size).toBe(3);
    expect(simulator.counters('mtn')).toMatchObject({ accepted: 4, duplicates: 0, doubled: 2 });
    expect(simulator.duplicates('mtn')).toEqual({ m1: 3 });
  });

  test('accepted submits are counted by second', async () => {
    await Promise.all(Array.from({ length: 30 }, (_, n) => submitted(`m${n}`)));
    const perSecond = Object.values(simulator.counters('mtn').per_second);
    expect(perSecond.reduce((sum, n) => sum + n, 0)).toBe(30);
  });

  test('a restarted simulator gives no id again', async () => {
    const { id } = await submitted('m1');
    const second = await startSimulator({ httpPort: 0, smppPort: 0 });
    try {
      const response = await post(second, 'mtn', { message_id: 'm1', to: TO });
      expect(Number(((await response.json()) as { id: string }).id)).toBeGreaterThan(Number(id));
    } finally {
      await second.close();
    }
  });
});

describe('outcomes by rule', () => {
  const refusals = [
    ['reject', 400, 'rejected'],
    ['transient', 503, 'transient'],
    ['throttle', 429, 'throttled'],
    ['unauthorized', 401, 'unauthorized'],
    ['wrong_network', 422, 'wrong_network'],
  ] as const;
  for (const [outcome, status, counter] of refusals) {
    test(`${outcome} answers ${status} and accepts nothing`, async () => {
      simulator.dials('mtn', { rules: [{ match: '^\\+98935', outcome }] });
      const response = await post(simulator, 'mtn', { message_id: 'm1', to: '09351234567' });
      expect(response.status).toBe(status);
      expect(await response.json()).toEqual({ error: outcome });
      expect(response.headers.get('retry-after')).toBe(outcome === 'throttle' ? '1' : null);
      expect(simulator.counters('mtn')).toMatchObject({ received: 1, accepted: 0, [counter]: 1 });
      expect(simulator.records('mtn')).toMatchObject([{ received: 1, accepted: 0, operator_ids: [] }]);
      expect((await submitted('m2', '+989011234567')).status).toBe(200);
    });
  }

  test('a rule’s own status is answered, also to what was accepted', async () => {
    simulator.dials('mtn', { rules: [{ outcome: 'accept', http_status: 500 }] });
    expect((await submitted('m1')).status).toBe(500);
    expect(simulator.counters('mtn')).toMatchObject({ accepted: 1 });
  });

  test('silent accepts and never answers; silent_drop does neither', async () => {
    for (const [outcome, accepted] of [
      ['silent', 1],
      ['silent_drop', 0],
    ] as const) {
      simulator.reset();
      simulator.dials('mtn', { rules: [{ outcome }] });
      const giveUp = new AbortController();
      let answered = false;
      const asked = post(simulator, 'mtn', { message_id: 'm1', to: TO }, giveUp.signal).then(
        () => {
          answered = true;
        },
        () => undefined,
      );
      await until('the submit arrives', () => simulator.counters('mtn').received === 1);
      // An answer would have come before that of a later request.
      await fetch(`${simulator.httpUrl}/health/ready`);
      expect(answered).toBe(false);
      giveUp.abort();
      await asked;
      expect(simulator.counters('mtn')).toMatchObject({ accepted, silent: 1 });
    }
  });

  test('disconnect_before drops the link unaccepted, disconnect_after accepted', async () => {
    for (const [outcome, accepted] of [
      ['disconnect_before', 0],
      ['disconnect_after', 1],
    ] as const) {
      simulator.reset();
      simulator.dials('mtn', { rules: [{ outcome, times: 1 }] });
      await expect(post(simulator, 'mtn', { message_id: 'm1', to: TO })).rejects.toThrow();
      await until('the link is dropped', () => simulator.counters('mtn').dropped === 1);
      expect(simulator.counters('mtn')).toMatchObject({ received: 1, accepted });
      const again = await submitted('m1');
      expect(again.status).toBe(200);
      expect(simulator.records('mtn')).toMatchObject([{ received: 2, accepted: 1, operator_ids: [again.id] }]);
    }
  });

  test('times counts the tries of each message on its own', async () => {
    simulator.dials('mtn', { rules: [{ outcome: 'transient', times: 2 }] });
    const statuses = async (id: string): Promise<number[]> => {
      const seen: number[] = [];
      for (let i = 0; i < 3; i++) seen.push((await submitted(id)).status);
      return seen;
    };
    expect(await statuses('m1')).toEqual([503, 503, 200]);
    expect(await statuses('m2')).toEqual([503, 503, 200]);
  });

  test('the first rule that fits decides', async () => {
    simulator.dials('mtn', {
      rules: [
        { match: '1$', outcome: 'reject' },
        { match: '[12]$', outcome: 'transient' },
      ],
    });
    const status = async (to: string): Promise<number> => (await submitted(to, to)).status;
    expect(await status('+989350000001')).toBe(400);
    expect(await status('+989350000002')).toBe(503);
    expect(await status('+989350000003')).toBe(200);
  });

  test('a share is drawn by the seed: the same numbers each time, others under another seed', async () => {
    const refused = async (seed: number): Promise<string[]> => {
      simulator.reset();
      simulator.dials('mtn', { seed, rules: [{ share: 0.3, outcome: 'reject' }] });
      const numbers = Array.from({ length: 400 }, (_, n) => `+98935${1_000_000 + n}`);
      await Promise.all(numbers.map((to) => submitted(to, to)));
      return simulator
        .records('mtn')
        .filter(({ accepted }) => accepted === 0)
        .map(({ to }) => to)
        .sort();
    };
    const first = await refused(7);
    expect(first.length).toBeGreaterThan(80);
    expect(first.length).toBeLessThan(160);
    expect(await refused(7)).toEqual(first);
    expect(await refused(8)).not.toEqual(first);
  });
});

describe('rate and latency', () => {
  test('no second has more accepted submits than throttle_tps', async () => {
    simulator.dials('mtn', { throttle_tps: 5 });
    const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => submitted(`m${n}`)));
    const { accepted, throttled, per_second } = simulator.counters('mtn');
    expect(accepted + throttled).toBe(40);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(throttled);
    expect(throttled).toBeGreaterThan(0);
    for (const n of Object.values(per_second)) expect(n).toBeLessThanOrEqual(5);
  });

  test('latency delays each answer on its own and is never cut short', async () => {
    simulator.dials('mtn', { latency_ms: 60, latency_jitter_ms: 20 });
    const from = performance.now();
    await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        expect((await submitted(`m${n}`)).status).toBe(200);
        expect(performance.now() - from).toBeGreaterThanOrEqual(59);
      }),
    );
    // One after the other they would take three seconds.
    expect(performance.now() - from).toBeLessThan(2_000);
  });
});

describe('an operator in trouble', () => {
  test('one that refuses connections drops its submits, and nobody else’s', async () => {
    simulator.dials('mtn', { accept_connections: false });
    await expect(post(simulator, 'mtn', { message_id: 'm1', to: TO })).rejects.toThrow();
    await until('the refusal', () => simulator.counters('mtn').refused_connections === 1);
    expect(simulator.counters('mtn').received).toBe(0);
    expect((await post(simulator, 'rightel', { message_id: 'm1', to: '+989201234567' })).status).toBe(200);
    simulator.dials('mtn', { accept_connections: true });
    expect((await submitted('m1')).status).toBe(200);
  });

  test('a frozen one reads nothing until it thaws, then goes on where it was', async () => {
    simulator.dials('mtn', { freeze: true });
    let answered = false;
    const asked = submitted('m1').then((answer) => {
      answered = true;
      return answer;
    });
    expect((await post(simulator, 'rightel', { message_id: 'm1', to: '+989201234567' })).status).toBe(200);
    expect(answered).toBe(false);
    expect(simulator.counters('mtn').received).toBe(0);
    simulator.dials('mtn', { freeze: false });
    expect((await asked).status).toBe(200);
    expect(simulator.counters('mtn').accepted).toBe(1);
  });
});

test('a frozen operator keeps back the answers it owed', async () => {
  simulator.dials('mtn', { latency_ms: 20 });
  let answered = false;
  const asked = submitted('m1').then((answer) => {
    answered = true;
    return answer;
  });
  await until('the submit', () => simulator.counters('mtn').accepted === 1);
  simulator.dials('mtn', { freeze: true });
  simulator.dials('rightel', { latency_ms: 40 });
  await post(simulator, 'rightel', { message_id: 'm1', to: '+989201234567' });
  expect(answered).toBe(false);
  simulator.dials('mtn', { freeze: false });
  expect((await asked).status).toBe(200);
});

describe('memory', () => {
  test('details are kept of the last messages only; counts and duplicates stay exact', async () => {
    const small = await startSimulator({ httpPort: 0, smppPort: 0, recordsMax: 10 });
    try {
      for (let n = 0; n < 25; n++) await post(small, 'mtn', { message_id: `m${n}`, to: TO });
      expect(small.records('mtn').map(({ message_id }) => message_id)).toEqual(
        Array.from({ length: 10 }, (_, n) => `m${24 - n}`),
      );
      await post(small, 'mtn', { message_id: 'm0', to: TO });
      expect(small.counters('mtn')).toMatchObject({ received: 26, accepted: 25, duplicates: 1, records: 10 });
    } finally {
      await small.close();
    }
  });

  test('record “counts” keeps no details and still removes duplicates', async () => {
    simulator.dials('mtn', { record: 'counts' });
    const first = await submitted('m1');
    expect(await submitted('m1')).toEqual(first);
    expect(simulator.records('mtn')).toEqual([]);
    expect(simulator.counters('mtn')).toMatchObject({ received: 2, accepted: 1, duplicates: 1, records: 0 });
  });
});
