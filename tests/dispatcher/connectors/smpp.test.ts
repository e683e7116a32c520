import { afterEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import smpp, { type Pdu } from 'smpp';
import type { OperatorReceipt, SubmitOutcome } from '../../../dispatcher/connector.ts';
import type { SmppSettings } from '../../../shared/sms/operators.ts';
import { type SimulatorConfig, start } from '../../../simulator/index.ts';
import { selfSignedCertificate } from './certificate.ts';
import { until } from './fake-http-operator.ts';
import { type FakeLink, type FakeSmsc, fakeSmsc } from './fake-smsc.ts';
import { createRig, longSubmission, type Rig, submission } from './smpp-rig.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function simulator(config: SimulatorConfig = {}) {
  const running = await start({ host: '127.0.0.1', httpPort: 0, smppPort: 0, ...config });
  closers.push(() => running.close());
  return running;
}
async function smsc(...script: Parameters<typeof fakeSmsc>): Promise<FakeSmsc> {
  const running = await fakeSmsc(...script);
  closers.push(() => running.close());
  return running;
}
function rigAt(
  port: number,
  over: Partial<SmppSettings> = {},
  onReceipt?: (r: OperatorReceipt) => void | Promise<void>,
): Rig {
  const rig = createRig(port, over, onReceipt);
  closers.push(() => rig.connector.close());
  return rig;
}
const accept = (pdu: Pdu, link: FakeLink, nth: number): void => link.answer(pdu, { message_id: `id-${nth}` });
const accepted = (operatorIds: string[], acceptedParts = operatorIds.length, parts = acceptedParts) => ({
  kind: 'accepted' as const,
  operatorIds,
  acceptedParts,
  parts,
  linkFault: false as const,
});
const unknown = (error: string) => ({ kind: 'unknown' as const, error, operatorIds: [], linkFault: true });

describe('binding', () => {
  test('says who it is, and which version it speaks', async () => {
    const server = await smsc();
    await rigAt(server.port, { systemType: 'sms', addressRange: '98.*', systemId: 'me', password: 'secret12' }).ready();
    expect(server.links[0]?.pdus[0]).toMatchObject({
      command: 'bind_transceiver',
      system_id: 'me',
      password: 'secret12',
      system_type: 'sms',
      interface_version: 0x34,
      address_range: '98.*',
    });
  });

  test('a pair submits on its transmitter and receives on its receiver', async () => {
    const sim = await simulator();
    sim.dials('mci', { receipts: { mode: 'deliver' } });
    const rig = rigAt(sim.smppPort, { bind: 'transmitter_receiver', binds: 2 });
    await until(() => rig.connector.state().binds.every(({ state }) => state === 'bound'), 'both pairs are bound');
    expect(sim.counters('mci').binds_now).toEqual({ transceiver: 0, transmitter: 2, receiver: 2 });
    expect([rig.connector.windowSize, rig.connector.free]).toEqual([200, 200]);
    const outcome = await rig.connector.submit(submission());
    await until(() => rig.receipts.length === 1, 'the receipt has come');
    expect(outcome).toEqual(accepted([rig.receipts[0]?.operatorId ?? '']));
    expect(sim.records('mci')[0]?.smpp?.bind).toBe('transmitter');
  });

  test('is tried again until it is let in, and nothing is submitted before', async () => {
    const sim = await simulator();
    sim.dials('mci', { bind_status: 0x0e });
    const rig = rigAt(sim.smppPort);
    await until(() => (rig.connector.state().binds[0]?.reconnects ?? 0) >= 2, 'it has tried three times');
    expect(rig.connector.state().binds[0]?.lastError).toBe('bind_smpp_0x0000000e');
    expect([rig.connector.ready, rig.connector.free]).toEqual([false, 0]);
    expect(await rig.connector.submit(submission())).toEqual({ kind: 'released', error: 'not_bound', linkFault: true });
    sim.dials('mci', { bind_status: 0 });
    await rig.ready();
    expect((await rig.connector.submit(submission())).kind).toBe('accepted');
    expect(sim.counters('mci').received).toBe(1);
    expect(rig.connector.state().binds[0]?.lastError).toBeNull();
  });

  test('pauses grow between tries at a server that refuses', async () => {
    const times: number[] = [];
    const server = net.createServer((socket) => {
      times.push(performance.now());
      socket.on('error', () => undefined);
      socket.resume();
      socket.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => new Promise<void>((resolve) => void server.close(() => resolve())));
    rigAt((server.address() as net.AddressInfo).port, { reconnect: { minMs: 100, maxMs: 100_000 } });
    await until(() => times.length >= 5, 'it has tried five times');
    // Pauses of 100, 200, 400 and 800 ms, of which up to half is taken off at random.
    const pauses = times.slice(1).map((at, i) => at - (times[i] as number));
    for (const [i, pause] of pauses.entries()) expect(pause).toBeGreaterThanOrEqual(0.5 * 100 * 2 ** i - 5);
    expect((times[4] as number) - (times[0] as number)).toBeLessThan(3_000);
  });

  test('a peer that says nothing to the bind is left after the timeout', async () => {
    const server = await smsc({ onPdu: (pdu) => pdu.command.startsWith('bind_') });
    const rig = rigAt(server.port, { connectTimeoutMs: 100 });
    await until(() => server.links.length >= 2, 'it connects anew');
    expect(rig.connector.state().binds[0]?.lastError).toBe('bind_timeout');
  });

  test('a refused connection is no fault of a message, and is mended when the operator is back', async () => {
    const sim = await simulator();
    sim.dials('mci', { accept_connections: false });
    sim.dials('mtn', { accept_connections: false });
    sim.dials('rightel', { accept_connections: false });
    const rig = rigAt(sim.smppPort);
    await until(() => rig.connector.state().binds[0]?.state === 'waiting', 'the connect was refused');
    sim.dials('mci', { accept_connections: true });
    await rig.ready();
  });
});

describe('TLS', () => {
  test('an authority of the operator is trusted by setting, and then messages travel', async () => {
    const certificate = selfSignedCertificate();
    const folder = mkdtempSync(path.join(tmpdir(), 'jsms-tls-'));
    closers.push(() => rmSync(folder, { recursive: true }));
    const caFile = path.join(folder, 'ca.pem');
    writeFileSync(caFile, certificate.cert);
    const sim = await simulator({ smppTls: certificate });
    const rig = rigAt(sim.smppPort, { tls: { serverName: null, caFile } });
    await rig.ready();
    expect((await rig.connector.submit(submission())).kind).toBe('accepted');
    const named = rigAt(sim.smppPort, { tls: { serverName: 'localhost', caFile } });
    await named.ready();
  });

  test('a certificate that is not trusted, or of another name, is never bound to', async () => {
    const certificate = selfSignedCertificate();
    const folder = mkdtempSync(path.join(tmpdir(), 'jsms-tls-'));
    closers.push(() => rmSync(folder, { recursive: true }));
    const caFile = path.join(folder, 'ca.pem');
    writeFileSync(caFile, certificate.cert);
    const sim = await simulator({ smppTls: certificate });
    const untrusted = rigAt(sim.smppPort, { tls: { serverName: null, caFile: null } });
    const misnamed = rigAt(sim.smppPort, { tls: { serverName: 'sms.example.com', caFile } });
    const failed = (rig: Rig) => (rig.connector.state().binds[0]?.reconnects ?? 0) >= 1;
    await until(() => failed(untrusted) && failed(misnamed), 'both have failed');
    expect([untrusted.connector.ready, misnamed.connector.ready]).toEqual([false, false]);
    expect(sim.counters('mci').binds).toBe(0);
  });

  test('a certificate file that cannot be read is an error at the start', () => {
    expect(() => createRig(1, { tls: { serverName: null, caFile: '/nowhere/ca.pem' } })).toThrow('/nowhere/ca.pem');
  });
});

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
    const rig = rigAt(sim.smppPort);
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

describe('a lost link', () => {
  test('mid-window: what was written is unknown, and the connector comes back by itself', async () => {
    const server = await smsc({
      onSubmit: (pdu, link, nth) => {
        if (nth === 2) accept(pdu, link, nth);
        if (nth === 5) link.socket.resetAndDestroy();
        if (nth > 5) accept(pdu, link, nth);
      },
    });
    const rig = rigAt(server.port);
    await rig.ready();
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => rig.connector.submit(submission())));
    expect(outcomes.filter(({ kind }) => kind === 'accepted').length).toBeLessThanOrEqual(1);
    for (const outcome of outcomes) {
      if (outcome.kind !== 'accepted') expect(outcome).toEqual(unknown('connection_lost'));
    }
    expect([rig.connector.ready, rig.connector.free]).toEqual([false, 0]);
    await rig.ready();
    expect((await rig.connector.submit(submission())).kind).toBe('accepted');
    expect(rig.connector.state()).toMatchObject({ counters: { linksLost: 1 }, binds: [{ reconnects: 1 }] });
  });

  test('with parts still unwritten: an accepted part makes it a partial acceptance, else it is unknown', async () => {
    const server = await smsc({
      onSubmit: (pdu, link, nth) => {
        if (nth === 1) accept(pdu, link, nth);
        else link.socket.destroy();
      },
    });
    const rig = rigAt(server.port, { windowSize: 1 });
    await rig.ready();
    expect(await rig.connector.submit(longSubmission(4))).toMatchObject({
      kind: 'accepted',
      operatorIds: ['id-1'],
      acceptedParts: 1,
      parts: 4,
      partError: 'connection_lost',
    });
    await rig.ready();
    expect(await rig.connector.submit(longSubmission(4))).toEqual(unknown('connection_lost'));
    expect(server.submits().length).toBe(3);
  });

  test.each([
    ['an unbind', (): Buffer => new smpp.PDU('unbind', { sequence_number: 9 }).toBuffer()],
    ['garbage', (): Buffer => Buffer.from('no PDU at all')],
  ])('before the write, by %s in the same moment: the message is released, and never arrives', async (_, end) => {
    const server = await smsc({ onSubmit: accept });
    let outcome: Promise<SubmitOutcome> | null = null;
    // The receipt and what ends the link come in one piece, so this submit is between the two.
    const rig = rigAt(server.port, {}, () => {
      outcome = rig.connector.submit(submission());
    });
    await rig.ready();
    const receipt = new smpp.PDU('deliver_sm', { esm_class: 4, short_message: Buffer.from('id:1 stat:DELIVRD') });
    server.links[0]?.socket.write(Buffer.concat([receipt.toBuffer(), end()]));
    await until(() => outcome !== null, 'the receipt has come');
    expect((await outcome) as unknown).toEqual({ kind: 'released', error: 'connection_lost', linkFault: true });
    await rig.ready();
    expect(server.submits()).toEqual([]);
  });

  test('while a throttled part waits for its next try ends the message with what was accepted', async () => {
    const server = await smsc({
      onSubmit: (pdu, link, nth) => {
        if (nth === 1) accept(pdu, link, nth);
        else {
          link.answer(pdu, { command_status: 0x58 });
          link.socket.end();
        }
      },
    });
    const rig = rigAt(server.port);
    await rig.ready();
    expect(await rig.connector.submit(longSubmission(2))).toMatchObject({
      kind: 'accepted',
      acceptedParts: 1,
      parts: 2,
    });
  });

  test('fifty times under load: nothing released had arrived, nothing accepted came twice, and every message ends', async () => {
    const sim = await simulator();
    const rig = rigAt(sim.smppPort, { binds: 2, windowSize: 20, responseTimeoutMs: 1_000 });
    await rig.ready();
    sim.dials('mci', { latency_ms: 1, latency_jitter_ms: 2, drop_after_n: 40, drop_times: 50, drop_mode: 'before' });
    const ends = new Map<string, { kind: string; tries: number; releases: number }>();
    const queue = Array.from({ length: 2_500 }, (_, i) => submission({ text: `متن ${i}` }));
    const worker = async (): Promise<void> => {
      for (let next = queue.pop(); next; next = queue.pop()) {
        const seen = ends.get(next.text) ?? { kind: '', tries: 0, releases: 0 };
        if (rig.connector.free === 0) await until(() => rig.connector.free > 0, 'there is room');
        const outcome = await rig.connector.submit(next);
        seen.kind = outcome.kind;
        if (outcome.kind === 'released') {
          seen.releases += 1;
          queue.push(next);
        } else seen.tries += 1;
        ends.set(next.text, seen);
      }
    };
    await Promise.all(Array.from({ length: 40 }, worker));
    const arrived = new Map(sim.records('mci', { limit: 10_000 }).map((record) => [record.text, record]));
    expect(sim.counters('mci').dropped).toBeGreaterThanOrEqual(50);
    expect(sim.counters('mci').doubled).toBe(0);
    expect(ends.size).toBe(2_500);
    let unknowns = 0;
    for (const [text, end] of ends) {
      const record = arrived.get(text);
      expect(end.tries).toBe(1);
      if (end.kind === 'accepted') expect([record?.received, record?.accepted]).toEqual([1, 1]);
      else {
        expect(end.kind).toBe('unknown');
        expect(record?.received ?? 0).toBeLessThanOrEqual(1);
        unknowns += 1;
      }
    }
    expect(unknowns).toBeLessThanOrEqual(50 * 20);
    expect(unknowns).toBeGreaterThan(0);
  });
});

describe('the peer', () => {
  test('asks whether we live, and is answered', async () => {
    const server = await smsc();
    await rigAt(server.port).ready();
    const [link] = server.links;
    link?.send('enquire_link', { sequence_number: 77 });
    await until(() => link?.pdus.some(({ command }) => command === 'enquire_link_resp') === true, 'it was answered');
    expect(link?.pdus.find(({ command }) => command === 'enquire_link_resp')?.sequence_number).toBe(77);
  });

  test('is asked when it is quiet, and one that answers is kept', async () => {
    const server = await smsc();
    const rig = rigAt(server.port, { enquireLinkMs: 60, responseTimeoutMs: 150 });
    await rig.ready();
    const asked = () => server.links[0]?.pdus.filter(({ command }) => command === 'enquire_link').length ?? 0;
    await until(() => asked() >= 4, 'it was asked four times');
    expect([server.links.length, rig.connector.ready]).toEqual([1, true]);
  });

  test('that does not answer any more is left, and what it owes is unknown', async () => {
    const sim = await simulator();
    const rig = rigAt(sim.smppPort, { enquireLinkMs: 100, responseTimeoutMs: 300, connectTimeoutMs: 200 });
    await rig.ready();
    sim.dials('mci', { freeze: true });
    const outcome = await rig.connector.submit(submission());
    expect(outcome).toMatchObject({ kind: 'unknown', linkFault: true });
    await until(() => rig.connector.state().binds[0]?.lastError !== null, 'the link was left');
    sim.dials('mci', { freeze: false });
    await rig.ready();
  });

  test('that unbinds is answered, left, and bound to again; what it owes is unknown', async () => {
    const server = await smsc({
      onSubmit: (_, link, nth) => void (nth === 1 && link.send('unbind', { sequence_number: 9 })),
    });
    const rig = rigAt(server.port);
    await rig.ready();
    expect(await rig.connector.submit(submission())).toEqual(unknown('connection_lost'));
    expect(rig.connector.state().binds[0]?.lastError).toBe('unbound_by_operator');
    await until(
      () => server.links[0]?.pdus.some(({ command }) => command === 'unbind_resp') === true,
      'it was answered',
    );
    await rig.ready();
    expect(server.links.length).toBe(2);
  });

  test('that sends commands nobody knows is told so, and stays bound', async () => {
    const server = await smsc({ onSubmit: accept });
    const rig = rigAt(server.port);
    await rig.ready();
    const [link] = server.links;
    link?.send('query_sm', { sequence_number: 5 });
    link?.send('alert_notification', { sequence_number: 6 });
    const strange = Buffer.alloc(20, 7);
    strange.writeUInt32BE(20, 0);
    strange.writeUInt32BE(0x0001_2345, 4);
    strange.writeUInt32BE(8, 12);
    link?.socket.write(strange);
    await until(
      () => (link?.pdus.filter(({ command }) => command === 'generic_nack').length ?? 0) === 2,
      'both were told',
    );
    const nacks = link?.pdus.filter(({ command }) => command === 'generic_nack');
    expect(nacks?.map(({ sequence_number, command_status }) => [sequence_number, command_status])).toEqual([
      [5, 3],
      [8, 3],
    ]);
    expect((await rig.connector.submit(submission())).kind).toBe('accepted');
  });

  test('that sends what is no PDU is left and bound to again', async () => {
    const server = await smsc({ onSubmit: accept });
    const rig = rigAt(server.port);
    await rig.ready();
    server.links[0]?.socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    await until(() => server.links.length === 2, 'it connects anew');
    await rig.ready();
    expect((await rig.connector.submit(submission())).kind).toBe('accepted');
  });
});

describe('receipts', () => {
  const ids = (rig: Rig): string[] => rig.receipts.map(({ operatorId }) => operatorId).sort();

  test.each([
    ['decimal', 'as_is', 'as_is', { tlvs: true, text: true }],
    ['decimal', 'as_is', 'as_is', { tlvs: false, text: true }],
    ['hex', 'as_is', 'as_is', { tlvs: true, text: false }],
    ['hex_then_decimal', 'hex', 'decimal', { tlvs: false, text: true }],
    ['hex_then_decimal', 'hex', 'decimal', { tlvs: true, text: true, tlv_id: 'response' }],
    ['hex_then_decimal', 'hex', 'decimal', { tlvs: true, text: true, tlv_id: 'receipt' }],
    ['decimal_then_hex', 'decimal', 'hex', { tlvs: true, text: true }],
  ] as const)('ids written %s meet (%s, %s, %o)', async (id_form, response, receipt, dials) => {
    const sim = await simulator();
    sim.dials('mci', { id_form, receipts: { mode: 'deliver', ...dials } });
    const rig = rigAt(sim.smppPort, { receiptId: { response, receipt } });
    await rig.ready();
    const outcomes = await Promise.all([rig.connector.submit(submission()), rig.connector.submit(longSubmission(3))]);
    await until(() => rig.receipts.length === 4, 'a receipt for each part has come');
    expect(ids(rig)).toEqual(
      outcomes.flatMap((outcome) => (outcome.kind === 'accepted' ? outcome.operatorIds : [])).sort(),
    );
    const now = Date.now();
    for (const { status, error, at } of rig.receipts) {
      expect([status, error]).toEqual(['delivered', null]);
      expect(at).toBeWithin(now - 60_000, now + 1);
    }
    await until(() => sim.counters('mci').receipts_answered === 4, 'each was answered');
    expect(rig.connector.state().counters?.receipts).toBe(4);
  });

  test('an undelivered one says why; a doubled one comes twice; one without a final state does not come', async () => {
    const sim = await simulator();
    sim.dials('mci', {
      receipts: {
        mode: 'deliver',
        share_undelivered: 1,
        undelivered_stat: 'EXPIRED',
        double: true,
        intermediate: 'ENROUTE',
      },
    });
    const rig = rigAt(sim.smppPort);
    await rig.ready();
    await rig.connector.submit(submission());
    await until(() => sim.counters('mci').receipts_answered === 3, 'all three were answered');
    expect(rig.receipts.map(({ status, error }) => [status, error])).toEqual([
      ['undelivered', 'dlr_002'],
      ['undelivered', 'dlr_002'],
    ]);
    expect(rig.connector.state().counters).toMatchObject({ receipts: 2, receiptsIgnored: 1 });
  });

  test("one that comes before the submit's answer knows its message by the reference", async () => {
    const sim = await simulator();
    sim.dials('mci', { latency_ms: 100, receipts: { mode: 'deliver', early: true } });
    const rig = rigAt(sim.smppPort);
    await rig.ready();
    const one = submission();
    const outcome = rig.connector.submit(one);
    await until(() => rig.receipts.length === 1, 'the receipt has come');
    expect(rig.receipts[0]?.messageId).toBe(one.messageId);
    expect(await outcome).toEqual(accepted([rig.receipts[0]?.operatorId ?? '']));
  });

  test('one of a message without an answer knows it by the reference', async () => {
    const sim = await simulator();
    sim.dials('mci', { rules: [{ outcome: 'silent' }], receipts: { mode: 'deliver', delay_ms: 200 } });
    const rig = rigAt(sim.smppPort, { responseTimeoutMs: 100 });
    await rig.ready();
    const one = submission();
    expect(await rig.connector.submit(one)).toEqual(unknown('no_answer'));
    await until(() => rig.receipts.length === 1, 'the receipt has come');
    expect(rig.receipts[0]).toMatchObject({ messageId: one.messageId, status: 'delivered' });
  });

  test('is answered only when it is kept; when keeping fails the operator is told to send it again', async () => {
    const sim = await simulator();
    sim.dials('mci', { receipts: { mode: 'deliver', retry_ms: 20 } });
    const keeping: { resolve: () => void; reject: (reason: Error) => void }[] = [];
    const rig = rigAt(
      sim.smppPort,
      {},
      () => new Promise<void>((resolve, reject) => keeping.push({ resolve, reject })),
    );
    await rig.ready();
    await rig.connector.submit(submission());
    await until(() => keeping.length === 1, 'the receipt has come');
    expect(await rig.connector.submit(submission())).toMatchObject({ kind: 'accepted' });
    await until(() => keeping.length === 2, 'the second has come, though the first is not kept');
    expect(sim.counters('mci')).toMatchObject({ receipts_answered: 0, receipts_refused: 0 });
    keeping[0]?.reject(new Error('the store is away'));
    await until(() => sim.counters('mci').receipts_refused === 1, 'the operator was told');
    await until(() => keeping.length === 3, 'it sent it again');
    keeping[1]?.resolve();
    keeping[2]?.resolve();
    await until(() => sim.counters('mci').receipts_answered === 2, 'both are answered');
    expect(rig.connector.state().counters).toMatchObject({ receipts: 2, receiptsRefused: 1 });
  });

  test('a throw while keeping it is a refusal as well', async () => {
    const server = await smsc();
    const rig = rigAt(server.port, {}, () => {
      throw new Error('no');
    });
    await rig.ready();
    server.links[0]?.send('deliver_sm', {
      sequence_number: 3,
      esm_class: 4,
      short_message: Buffer.from('id:1 stat:DELIVRD'),
    });
    const answer = () => server.links[0]?.pdus.find(({ command }) => command === 'deliver_sm_resp');
    await until(() => answer() !== undefined, 'it was answered');
    expect([answer()?.command_status, answer()?.sequence_number]).toEqual([8, 3]);
  });

  test("a handset's message is answered, counted and dropped; a broken one is refused", async () => {
    const server = await smsc();
    const rig = rigAt(server.port);
    await rig.ready();
    const [link] = server.links;
    link?.send('deliver_sm', { sequence_number: 3, source_addr: '989121234567', short_message: Buffer.from('hello') });
    const broken = Buffer.alloc(17, 1);
    broken.writeUInt32BE(17, 0);
    broken.writeUInt32BE(5, 4);
    broken.writeUInt32BE(0, 8);
    broken.writeUInt32BE(4, 12);
    link?.socket.write(broken);
    const answers = () => link?.pdus.filter(({ command }) => command === 'deliver_sm_resp') ?? [];
    await until(() => answers().length === 2, 'both were answered');
    expect(answers().map(({ sequence_number, command_status }) => [sequence_number, command_status])).toEqual([
      [3, 0],
      [4, 2],
    ]);
    expect(rig.receipts).toEqual([]);
    expect(rig.connector.state().counters).toMatchObject({ messagesIgnored: 1, malformed: 1 });
  });
});

describe('closing', () => {
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
