import { describe, expect, test } from 'bun:test';
import smpp from 'smpp';
import type { SubmitOutcome } from '../../../dispatcher/connector.ts';
import { until } from './fake-http-operator.ts';
import { longSubmission, submission } from './smpp-rig.ts';
import { accept, rigAt, simulator, smsc, unknown } from './smpp-scene.ts';

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
