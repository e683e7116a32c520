import { describe, expect, test } from 'bun:test';
import type { Pdu } from 'smpp';
import { until } from './fake-http-operator.ts';
import type { FakeLink } from './fake-smsc.ts';
import { longSubmission, submission } from './smpp-rig.ts';
import { accept, accepted, rigAt, simulator, smsc, unknown } from './smpp-scene.ts';

describe('the answer of a submit', () => {
  test.each([
    [0x58, { kind: 'throttled', error: 'smpp_0x00000058', linkFault: false }],
    [0x08, { kind: 'transient', error: 'smpp_0x00000008', linkFault: false }],
    [0x14, { kind: 'transient', error: 'smpp_0x00000014', linkFault: false }],
    [0x0b, { kind: 'rejected', error: 'smpp_0x0000000b', wrongNetwork: false, linkFault: false }],
    [0x400, { kind: 'rejected', error: 'smpp_0x00000400', wrongNetwork: true, linkFault: false }],
    [0x401, { kind: 'unknown', error: 'smpp_0x00000401', operatorIds: [], linkFault: false }],
  ])('%i is the outcome of the table, or of the settings', async (status, outcome) => {
    const server = await smsc({ onSubmit: (pdu, link) => link.answer(pdu, { command_status: status }) });
    const rig = rigAt(server.port, { wrongNetwork: [0x400], statuses: { 1025: 'unknown' } });
    await rig.ready();
    expect((await rig.connector.submit(submission())) as object).toEqual(outcome);
  });

  test('a generic_nack refuses the message', async () => {
    const server = await smsc({
      onSubmit: (pdu, link, nth) =>
        link.send('generic_nack', { sequence_number: pdu.sequence_number, command_status: nth === 1 ? 0x03 : 0 }),
    });
    const rig = rigAt(server.port);
    await rig.ready();
    expect(await rig.connector.submit(submission())).toMatchObject({ kind: 'rejected', error: 'smpp_0x00000003' });
    expect(await rig.connector.submit(submission())).toMatchObject({ kind: 'rejected', error: 'generic_nack' });
  });

  test('"not bound" is a fault of the link, which is made anew before anything else is sent', async () => {
    const server = await smsc({
      onSubmit: (pdu, link, nth) => link.answer(pdu, nth === 1 ? { command_status: 0x04 } : { message_id: 'x' }),
    });
    const rig = rigAt(server.port);
    await rig.ready();
    expect(await rig.connector.submit(submission())).toEqual({
      kind: 'transient',
      error: 'smpp_0x00000004',
      linkFault: true,
    });
    expect(rig.connector.free).toBe(0);
    await rig.ready();
    expect((await rig.connector.submit(submission())).kind).toBe('accepted');
    expect(server.links.map(({ pdus }) => pdus.filter(({ command }) => command === 'submit_sm').length)).toEqual([
      1, 1,
    ]);
  });

  test('that never comes makes it unknown; the link stays, and a late one changes nothing', async () => {
    const held: [Pdu, FakeLink][] = [];
    const server = await smsc({
      onSubmit: (pdu, link, nth) => {
        if (nth === 1) held.push([pdu, link]);
        else accept(pdu, link, nth);
      },
    });
    const rig = rigAt(server.port, { responseTimeoutMs: 150 });
    await rig.ready();
    const startedAt = performance.now();
    expect(await rig.connector.submit(submission())).toEqual(unknown('no_answer'));
    expect(performance.now() - startedAt).toBeWithin(145, 1_000);
    expect(rig.connector.free).toBe(100);
    const [pdu, link] = held[0] as [Pdu, FakeLink];
    link.answer(pdu, { message_id: 'late' });
    expect(await rig.connector.submit(submission())).toEqual(accepted(['id-2']));
    expect(rig.connector.state().counters?.lateAnswers).toBe(1);
    expect(server.links.length).toBe(1);
  });

  test('arrives in pieces, or many in one, all the same', async () => {
    const sim = await simulator();
    sim.dials('mci', { partial_pdus: 'fragments', latency_ms: 5 });
    const rig = rigAt(sim.smppPort);
    await rig.ready();
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => rig.connector.submit(submission())));
    expect(new Set(outcomes.flatMap((outcome) => (outcome.kind === 'accepted' ? outcome.operatorIds : []))).size).toBe(
      50,
    );
  });

  test('a message that cannot be written is refused without a PDU', async () => {
    const server = await smsc({ onSubmit: accept });
    const rig = rigAt(server.port);
    await rig.ready();
    expect(await rig.connector.submit(submission({ from: 'بانک' }))).toEqual({
      kind: 'rejected',
      error: 'unwritable',
      wrongNetwork: false,
      linkFault: false,
    });
    expect([server.submits().length, rig.connector.free]).toEqual([0, 100]);
  });

  test('a message past its validity is released and not written', async () => {
    const server = await smsc({ onSubmit: accept });
    const rig = rigAt(server.port);
    await rig.ready();
    const outcome = await rig.connector.submit(submission({ validUntil: Date.now() - 1 }));
    expect(outcome).toEqual({ kind: 'released', error: 'expired', linkFault: false });
    expect([server.submits().length, rig.connector.free]).toEqual([0, 100]);
  });
});

describe('the window', () => {
  test('is never exceeded, on any bind, and all binds carry', async () => {
    const sim = await simulator();
    sim.dials('mci', { max_outstanding: 10, latency_ms: 2, latency_jitter_ms: 4 });
    const rig = rigAt(sim.smppPort, { binds: 3, windowSize: 10 });
    await until(() => rig.connector.free === 30, 'three binds are bound');
    let left = 600;
    const kinds = new Set<string>();
    const worker = async (): Promise<void> => {
      while (left-- > 0) kinds.add((await rig.connector.submit(submission())).kind);
    };
    await Promise.all(Array.from({ length: 30 }, worker));
    expect([...kinds]).toEqual(['accepted']);
    expect(sim.counters('mci')).toMatchObject({ received: 600, accepted: 600, throttled: 0, doubled: 0 });
  });

  test('a submit beyond it is released, and the next slot is told', async () => {
    const held: [Pdu, FakeLink][] = [];
    const server = await smsc({ onSubmit: (pdu, link) => void held.push([pdu, link]) });
    const rig = rigAt(server.port, { windowSize: 2 });
    await rig.ready();
    await until(() => rig.readyCalls() > 0, 'readiness was told');
    const first = rig.connector.submit(submission());
    const second = rig.connector.submit(submission());
    expect(rig.connector.free).toBe(0);
    expect(await rig.connector.submit(submission())).toEqual({
      kind: 'released',
      error: 'window_full',
      linkFault: false,
    });
    await until(() => held.length === 2, 'both have arrived');
    const told = rig.readyCalls();
    for (const [pdu, link] of held) link.answer(pdu, { message_id: 'x' });
    await Promise.all([first, second]);
    await until(() => rig.readyCalls() > told, 'the free slots were told');
    expect([rig.connector.free, server.submits().length]).toEqual([2, 2]);
  });

  test('a message takes as many slots as it has parts; one that is larger goes part by part', async () => {
    let outstanding = 0;
    let most = 0;
    const server = await smsc({
      onSubmit: (pdu, link, nth) => {
        outstanding += 1;
        most = Math.max(most, outstanding);
        setTimeout(() => {
          outstanding -= 1;
          accept(pdu, link, nth);
        }, 5);
      },
    });
    const rig = rigAt(server.port, { windowSize: 3 });
    await rig.ready();
    const two = rig.connector.submit(longSubmission(2));
    expect(rig.connector.free).toBe(1);
    const seven = rig.connector.submit(longSubmission(7));
    expect(rig.connector.free).toBe(0);
    expect(await two).toEqual(accepted(['id-1', 'id-2']));
    expect(await seven).toEqual(accepted(['id-3', 'id-4', 'id-5', 'id-6', 'id-7', 'id-8', 'id-9']));
    expect([most, rig.connector.free]).toEqual([3, 3]);
  });
});

describe('several parts', () => {
  test('go over one bind, in order, and arrive as the text', async () => {
    const sim = await simulator();
    const rig = rigAt(sim.smppPort, { binds: 3 });
    await until(() => rig.connector.free === 300, 'three binds are bound');
    const long = longSubmission(3);
    const text = `${long.text.slice(0, 66)}😀${long.text.slice(68)}`;
    const outcome = await rig.connector.submit({ ...long, text });
    const [record] = sim.records('mci');
    expect(record).toMatchObject({ text, parts: 3, accepted: 1, encoding: 'ucs2' });
    expect(outcome).toEqual(accepted(record?.operator_ids ?? []));
  });

  test.each([
    ['udh16', 'udh16', false],
    ['payload', 'none', true],
  ] as const)('by %s arrive as the text', async (longMessage, concatenation, payload) => {
    const sim = await simulator();
    const rig = rigAt(sim.smppPort, { longMessage });
    await rig.ready();
    const long = longSubmission(4);
    expect((await rig.connector.submit(long)).kind).toBe('accepted');
    expect(sim.records('mci')[0]).toMatchObject({ text: long.text, smpp: { concatenation, message_payload: payload } });
  });

  test('a throttled or transient part is sent again by itself, and the accepted ones never', async () => {
    const sim = await simulator();
    sim.dials('mci', {
      rules: [
        { part: 2, times: 1, outcome: 'throttle' },
        { part: 3, times: 2, outcome: 'transient' },
      ],
    });
    const rig = rigAt(sim.smppPort);
    await rig.ready();
    const long = longSubmission(3);
    expect(await rig.connector.submit(long)).toMatchObject({
      kind: 'accepted',
      acceptedParts: 3,
      parts: 3,
      throttled: true,
    });
    const [record] = sim.records('mci');
    expect(record?.text).toBe(long.text);
    expect(record?.part_counts.map(({ received, accepted }) => [received, accepted])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
    ]);
  });

  test('a part that stays throttled ends as a partial acceptance', async () => {
    const sim = await simulator();
    sim.dials('mci', { rules: [{ part: 2, outcome: 'throttle' }] });
    const rig = rigAt(sim.smppPort, { responseTimeoutMs: 20_000 });
    await rig.ready();
    expect(await rig.connector.submit(longSubmission(2))).toMatchObject({
      kind: 'accepted',
      acceptedParts: 1,
      parts: 2,
      partError: 'smpp_0x00000058',
      throttled: true,
    });
    expect(sim.counters('mci')).toMatchObject({ received: 5, accepted: 1, throttled: 4 });
  });

  test.each([
    ['rejected', 'reject', 'smpp_0x0000000b'],
    ['unanswered', 'silent', 'no_answer'],
  ] as const)(
    'one that is %s leaves a partial acceptance, and nothing is sent again',
    async (_, outcome, partError) => {
      const sim = await simulator();
      sim.dials('mci', { rules: [{ part: 2, outcome }] });
      const rig = rigAt(sim.smppPort, { responseTimeoutMs: 200 });
      await rig.ready();
      expect(await rig.connector.submit(longSubmission(3))).toMatchObject({
        kind: 'accepted',
        acceptedParts: 2,
        parts: 3,
        partError,
      });
      expect(sim.counters('mci').received).toBe(3);
    },
  );

  test('all refused is one refusal; all throttled is one throttle, and none is tried by itself', async () => {
    const sim = await simulator();
    const rig = rigAt(sim.smppPort);
    await rig.ready();
    sim.dials('mci', { rules: [{ outcome: 'reject' }] });
    expect(await rig.connector.submit(longSubmission(3))).toMatchObject({ kind: 'rejected', error: 'smpp_0x0000000b' });
    sim.dials('mci', { rules: [{ outcome: 'throttle' }] });
    expect(await rig.connector.submit(longSubmission(3))).toMatchObject({ kind: 'throttled' });
    sim.dials('mci', { rules: [{ outcome: 'transient' }] });
    expect(await rig.connector.submit(longSubmission(3))).toMatchObject({ kind: 'transient' });
    expect(sim.counters('mci').received).toBe(9);
  });

  test('once a part is refused, those that were not written yet are not', async () => {
    const server = await smsc({
      onSubmit: (pdu, link, nth) =>
        link.answer(pdu, nth === 2 ? { command_status: 0x0b } : { message_id: `id-${nth}` }),
    });
    const rig = rigAt(server.port, { windowSize: 1 });
    await rig.ready();
    expect(await rig.connector.submit(longSubmission(5))).toMatchObject({
      kind: 'accepted',
      operatorIds: ['id-1'],
      acceptedParts: 1,
      parts: 5,
      partError: 'smpp_0x0000000b',
    });
    expect(server.submits().length).toBe(2);
  });

  test('a message whose first part is throttled is not begun', async () => {
    const server = await smsc({ onSubmit: (pdu, link) => link.answer(pdu, { command_status: 0x58 }) });
    const rig = rigAt(server.port, { windowSize: 1 });
    await rig.ready();
    expect(await rig.connector.submit(longSubmission(5))).toMatchObject({ kind: 'throttled' });
    expect(server.submits().length).toBe(1);
  });
});

describe('closing', () => {
  test('completes a message that is in pieces', async () => {
    const sim = await simulator();
    sim.dials('mci', { rules: [{ part: 2, times: 1, outcome: 'throttle' }] });
    const rig = rigAt(sim.smppPort);
    await rig.ready();
    const inflight = rig.connector.submit(longSubmission(2));
    await until(() => sim.counters('mci').received === 2, 'both parts have arrived');
    await rig.connector.close();
    expect(await inflight).toMatchObject({ kind: 'accepted', acceptedParts: 2, parts: 2 });
  });

  test('waits for what is in flight, then unbinds; nothing is taken meanwhile', async () => {
    const held: [Pdu, FakeLink][] = [];
    const server = await smsc({ onSubmit: (pdu, link) => void held.push([pdu, link]) });
    const rig = rigAt(server.port);
    await rig.ready();
    const inflight = rig.connector.submit(submission());
    await until(() => held.length === 1, 'it has arrived');
    let closed = false;
    const closing = rig.connector.close().then(() => {
      closed = true;
    });
    expect([rig.connector.ready, rig.connector.free]).toEqual([false, 0]);
    expect(await rig.connector.submit(submission())).toEqual({ kind: 'released', error: 'closed', linkFault: false });
    expect(closed).toBe(false);
    const [pdu, link] = held[0] as [Pdu, FakeLink];
    link.answer(pdu, { message_id: 'x' });
    expect((await inflight).kind).toBe('accepted');
    await closing;
    expect(link.pdus.at(-1)?.command).toBe('unbind');
    expect(rig.connector.state().binds[0]?.state).toBe('closed');
  });

  test('ends within the response timeout when the operator stays silent', async () => {
    const server = await smsc({ onPdu: (pdu) => pdu.command === 'unbind' });
    const rig = rigAt(server.port, { responseTimeoutMs: 200 });
    await rig.ready();
    const inflight = rig.connector.submit(submission());
    const startedAt = performance.now();
    await rig.connector.close();
    expect(await inflight).toEqual(unknown('no_answer'));
    expect(performance.now() - startedAt).toBeLessThan(2_500);
  });

  test('of one that was never bound ends at once', async () => {
    const server = await smsc();
    await server.close();
    const rig = rigAt(server.port);
    await rig.connector.close();
    expect(rig.connector.state()).toMatchObject({ ready: false, binds: [{ state: 'closed' }] });
  });
});
