import { describe, expect, test } from 'bun:test';
import { until } from './fake-http-operator.ts';
import { longSubmission, type Rig, submission } from './smpp-rig.ts';
import { accepted, rigAt, simulator, smsc, unknown } from './smpp-scene.ts';

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
