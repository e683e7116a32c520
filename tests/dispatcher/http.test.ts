import { describe, expect, test } from 'bun:test';
import { Value } from '@sinclair/typebox/value';
import { createBreaker } from '../../dispatcher/breaker.ts';
import type { Connector, LinkChange } from '../../dispatcher/connector.ts';
import type { Dispatch } from '../../dispatcher/dispatch.ts';
import { dispatcherDoor } from '../../dispatcher/http.ts';
import { type Line, rateNow } from '../../dispatcher/line.ts';
import { measureLines } from '../../dispatcher/measure.ts';
import { Operator, operatorAnswer, operatorExample } from '../../dispatcher/operator-answer.ts';
import type { Pump } from '../../dispatcher/pump.ts';
import { createRate, type Rate } from '../../dispatcher/rate.ts';
import { createLog } from '../../shared/log.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { parseOperators } from '../../shared/sms/operators.ts';
import { until } from './connectors/fake-http-operator.ts';
import { rigAt, smsc } from './connectors/smpp-scene.ts';

const log = createLog('dispatcher', 'error', () => undefined);

function settingsOf(tps: number) {
  const read = parseOperators({
    operators: { MTN: { prefixes: ['935'], tps, connector: 'http', http: { url: 'http://127.0.0.1:1/' } } },
  });
  if (!read.ok) throw new Error(read.problems.join());
  return read.file.operators[0] as Line['settings'];
}

function lineOf(connector: Connector, tps = 0): Line {
  const settings = { ...settingsOf(tps), connector: connector.state().connector } as Line['settings'];
  const counters = { accepted: 3, rejected: 0, transient: 0, throttled: 0, unknown: 0, released: 0 };
  const state = () => ({ queued: { express: 0, normal: 2, bulk: 0 }, claimed: 1 });
  const pump = { name: 'MTN', connector, queued: () => 0, busy: 0, state, counters } as unknown as Pump;
  return { settings, pump, rate: createRate(), breaker: createBreaker(settings.breaker) };
}

/** A pair whose receiver the operator refuses. */
async function halfBound() {
  const links: LinkChange[] = [];
  const server = await smsc({
    onPdu: (pdu, link) => {
      if (pdu.command !== 'bind_receiver') return false;
      link.send('bind_receiver_resp', { sequence_number: pdu.sequence_number, command_status: 0x0d });
      return true;
    },
  });
  const rig = rigAt(server.port, { bind: 'transmitter_receiver' }, undefined, (change) => links.push(change));
  await rig.ready();
  await until(() => links.some(({ state }) => state === 'refused'), 'the receiver was refused');
  return { rig, links };
}

describe('GET /operators', () => {
  test('every route is in the specification with an example of its answer', async () => {
    const door = dispatcherDoor(
      {
        service: 'dispatcher',
        title: 'dispatcher',
        description: '',
        log,
        metrics: createMetrics('dispatcher'),
        health: () => ({ ready: true, checks: {} }),
      },
      {
        dispatch: { lines: () => [] } as unknown as Dispatch,
        ported: {} as never,
        operators: () => ({ operators: [], portedNumbers: new Map() }),
        onReceipt: async () => undefined,
      },
    );
    type Answer = { content?: Record<string, { example?: unknown }> };
    type Spec = { paths: Record<string, Record<string, { responses: Record<string, Answer> }>> };
    const asked = await door.handle(new Request('http://localhost:9070/swagger/json'));
    const { paths } = (await asked.json()) as Spec;
    const examples = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { responses }]): [string, boolean] => {
        const success = Object.entries(responses).find(([status]) => status.startsWith('2'))?.[1];
        return [`${method} ${path}`, Object.values(success?.content ?? {})[0]?.example !== undefined];
      }),
    );
    expect(Object.fromEntries(examples)).toMatchObject({
      'get /operators': true,
      'get /ported-numbers/{phone}': true,
      'put /ported-numbers/{phone}': true,
      'delete /ported-numbers/{phone}': false,
      'post /receipts/{operator}': true,
    });
    expect([...Value.Errors(Operator, operatorExample)]).toEqual([]);
  });

  test('a pair whose receiver cannot bind may be submitted to and gets no receipts: answer and metrics say so', async () => {
    const { rig, links } = await halfBound();
    const line = lineOf(rig.connector, 50);
    const answer = operatorAnswer(line, performance.now());
    expect([...Value.Errors(Operator, answer)]).toEqual([]);
    expect(answer).toMatchObject({
      ready: true,
      receiving: false,
      rate: 50,
      binds: [
        { role: 'transmitter', state: 'bound', last_error: null },
        { role: 'receiver', last_error: 'bind_smpp_0x0000000d' },
      ],
      links: {
        lost: 0,
        receipts: 0,
        receipts_refused: 0,
        receipts_ignored: 0,
        messages_ignored: 0,
        late_answers: 0,
        malformed: 0,
      },
    });
    expect(links).toContainEqual({ bind: 0, role: 'transmitter', state: 'made', reason: null });
    expect(links).toContainEqual({ bind: 1, role: 'receiver', state: 'refused', reason: 'bind_smpp_0x0000000d' });

    const metrics = createMetrics('dispatcher');
    measureLines(metrics, { lines: () => [line], othersShare: () => 1 });
    // Twice: what is counted elsewhere is not added up by being read.
    await metrics.text();
    const text = await metrics.text();
    for (const expected of [
      'ready_operators{operator="MTN"} 1',
      'receiving_operators{operator="MTN"} 0',
      'rate_per_second{operator="MTN"} 50',
      'binds{operator="MTN",role="transmitter"} 1',
      'binds{operator="MTN",role="receiver"} 1',
      'bound_binds{operator="MTN",role="transmitter"} 1',
      'bound_binds{operator="MTN",role="receiver"} 0',
      'link_events_total{operator="MTN",event="lost"} 0',
      'link_events_total{operator="MTN",event="receipts_refused"} 0',
    ])
      expect(text).toContain(`jsms_dispatcher_${expected}\n`);
  });

  test('what came over a link is in the answer and the metrics', async () => {
    const server = await smsc();
    const rig = rigAt(server.port);
    await rig.ready();
    const receipt = { esm_class: 4, short_message: Buffer.from('id:1 stat:ACCEPTD') };
    server.links[0]?.send('deliver_sm', receipt);
    server.links[0]?.send('deliver_sm', { short_message: Buffer.from('hello') });
    const line = lineOf(rig.connector);
    const links = () => operatorAnswer(line, performance.now()).links;
    await until(() => links()?.messages_ignored === 1, 'both came');
    server.links[0]?.socket.destroy();
    await until(() => links()?.lost === 1, 'the link is lost');
    expect(links()).toMatchObject({ receipts_ignored: 1, messages_ignored: 1, lost: 1 });
    const metrics = createMetrics('dispatcher');
    measureLines(metrics, { lines: () => [line], othersShare: () => 1 });
    const text = await metrics.text();
    for (const event of ['receipts_ignored', 'messages_ignored', 'lost'])
      expect(text).toContain(`jsms_dispatcher_link_events_total{operator="MTN",event="${event}"} 1\n`);
  });
});

describe('the rate now', () => {
  const rateOf = (perSecond: number) => ({ perSecond: () => perSecond }) as unknown as Rate;
  test.each([
    [0, 0, 0],
    [50, 0, 50],
    [0, 12.5, 12.5],
    [50, 12.5, 12.5],
    [50, 80, 50],
  ])('tps %d, throttled to %d: %d', (tps, throttle, now) => {
    expect(rateNow({ settings: settingsOf(tps), rate: rateOf(throttle) }, 0)).toBe(now);
  });
});
