import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { Pdu, PduFields } from 'smpp';
import type { ReceiptDials } from '../../simulator/dials.ts';
import { type Simulator, startSimulator } from '../../simulator/index.ts';
import { bindPeer, type Peer, udh, until } from './peers.ts';

let simulator: Simulator;
const peers: Peer[] = [];
beforeAll(async () => {
  simulator = await startSimulator({ httpPort: 0, smppPort: 0 });
});
afterEach(() => {
  for (const peer of peers.splice(0)) peer.session.destroy();
  simulator.reset();
});
afterAll(() => simulator.close());

async function bound(as: 'transceiver' | 'transmitter' | 'receiver' = 'transceiver', systemId = 'mci'): Promise<Peer> {
  const peer = await bindPeer(simulator, systemId, as);
  peers.push(peer);
  return peer;
}

const turn = (receipts: Partial<ReceiptDials>): void => {
  simulator.dials('mci', { receipts: { mode: 'deliver', ...receipts } });
};
const SUBMIT: PduFields = {
  source_addr_ton: 5,
  source_addr: 'BANK',
  destination_addr: '989121234567',
  data_coding: 0,
  registered_delivery: 1,
  user_message_reference: 4711,
  short_message: 'Hello @ {you}',
};
const came = (peer: Peer, n: number): Promise<void> => until(`receipt ${n}`, () => peer.receipts.length >= n);
const textOf = (pdu: Pdu | undefined): string => String(pdu?.short_message?.message);
const answered = (n: number): Promise<void> =>
  until(`${n} receipts answered`, () => simulator.counters('mci').receipts_answered === n);

describe('a receipt', () => {
  test('comes as deliver_sm with the text form, the TLVs and the reference, the other way round', async () => {
    turn({});
    const peer = await bound();
    const { message_id: id } = await peer.submit(SUBMIT);
    await came(peer, 1);
    const [receipt] = peer.receipts;
    expect(receipt).toMatchObject({
      command_status: 0,
      esm_class: 0x04,
      data_coding: 0,
      source_addr: '989121234567',
      source_addr_ton: 1,
      source_addr_npi: 1,
      destination_addr: 'BANK',
      dest_addr_ton: 5,
      receipted_message_id: id,
      message_state: 2,
      user_message_reference: 4711,
    });
    expect(textOf(receipt)).toMatch(
      new RegExp(
        `^id:${id} sub:001 dlvrd:001 submit date:[0-9]{10} done date:[0-9]{10} stat:DELIVRD err:000 text:Hello . .you.$`,
      ),
    );
    await answered(1);
    expect(simulator.counters('mci')).toMatchObject({ receipts_sent: 1, receipts_waiting: 0 });
  });

  const ends = [
    ['UNDELIV', 5, '001'],
    ['EXPIRED', 3, '002'],
    ['DELETED', 4, '003'],
    ['REJECTD', 8, '004'],
  ] as const;
  for (const [stat, state, error] of ends) {
    test(`says ${stat} where the message is not delivered`, async () => {
      turn({ share_undelivered: 1, undelivered_stat: stat });
      const peer = await bound();
      await peer.submit(SUBMIT);
      await came(peer, 1);
      expect(peer.receipts[0]).toMatchObject({
        message_state: state,
        network_error_code: Buffer.from([3, 0, Number(error)]),
      });
      expect(textOf(peer.receipts[0])).toContain(`dlvrd:000 `);
      expect(textOf(peer.receipts[0])).toContain(`stat:${stat} err:${error}`);
    });
  }

  test('goes without TLVs, without text and without the reference where the dials say so', async () => {
    turn({ tlvs: false, echo_reference: false });
    const peer = await bound();
    await peer.submit(SUBMIT);
    await came(peer, 1);
    for (const field of ['receipted_message_id', 'message_state', 'user_message_reference']) {
      expect(peer.receipts[0]).not.toHaveProperty(field);
    }
    turn({ tlvs: true, text: false });
    await peer.submit(SUBMIT);
    await came(peer, 2);
    expect(peer.receipts[1]).toMatchObject({ message_state: 2, receipted_message_id: expect.any(String) });
    expect(textOf(peer.receipts[1])).toBe('');
  });

  test('carries the part’s UDH where the dial says so', async () => {
    turn({ udh: true });
    const peer = await bound();
    await peer.submit({
      ...SUBMIT,
      esm_class: 0x40,
      short_message: Buffer.concat([udh(7, 2, 1), Buffer.from('part')]),
    });
    await came(peer, 1);
    expect(peer.receipts[0]?.esm_class).toBe(0x44);
    expect(peer.receipts[0]?.short_message?.udh).toEqual([udh(7, 2, 1).subarray(1)]);
    expect(textOf(peer.receipts[0])).toStartWith('id:');
  });

  const forms = [
    ['hex', 'response', true, true],
    ['hex_then_decimal', 'response', false, true],
    ['hex_then_decimal', 'receipt', false, false],
    ['decimal_then_hex', 'response', true, false],
    ['decimal_then_hex', 'receipt', true, true],
  ] as const;
  for (const [form, tlv, hexText, hexTlv] of forms) {
    test(`writes its id as ${form} and its TLV as the ${tlv}`, async () => {
      simulator.dials('mci', { id_form: form });
      turn({ tlv_id: tlv });
      const peer = await bound();
      const { message_id: id = '' } = await peer.submit(SUBMIT);
      const value = Number.parseInt(id, form === 'decimal_then_hex' ? 10 : 16);
      await came(peer, 1);
      const written = (hex: boolean): string => value.toString(hex ? 16 : 10);
      expect(textOf(peer.receipts[0])).toStartWith(`id:${written(hexText)} `);
      expect(peer.receipts[0]?.receipted_message_id).toBe(written(hexTlv));
    });
  }
});

describe('which receipts come', () => {
  test('none without registered_delivery, nor for what is not accepted; by success or failure where it asks so', async () => {
    turn({});
    simulator.dials('mci', { rules: [{ match: '8$', outcome: 'reject' }] });
    const peer = await bound();
    await peer.submit({ ...SUBMIT, registered_delivery: 0 });
    await peer.submit({ ...SUBMIT, registered_delivery: 2 });
    await peer.submit({ ...SUBMIT, destination_addr: '989121234568' });
    const { message_id: id } = await peer.submit({ ...SUBMIT, registered_delivery: 3 });
    await came(peer, 1);
    turn({ share_undelivered: 1 });
    await peer.submit({ ...SUBMIT, registered_delivery: 3 });
    const { message_id: failed } = await peer.submit({ ...SUBMIT, registered_delivery: 2 });
    await came(peer, 2);
    expect(peer.receipts.map((one) => one.receipted_message_id)).toEqual([id, failed]);
  });

  test('early: before the answer; else after it, also when that is late', async () => {
    simulator.dials('mci', { latency_ms: 20 });
    turn({ early: true });
    const peer = await bound();
    const order = (): string[] => peer.arrived.splice(0).map(({ command }) => command);
    order();
    await peer.submit(SUBMIT);
    expect(order()).toEqual(['deliver_sm', 'submit_sm_resp']);
    simulator.dials('mci', { latency_ms: 0 });
    await peer.submit(SUBMIT);
    expect(order()).toEqual(['deliver_sm', 'submit_sm_resp']);
    turn({ early: false });
    for (const latency_ms of [0, 20]) {
      simulator.dials('mci', { latency_ms });
      const before = peer.receipts.length;
      await peer.submit(SUBMIT);
      await came(peer, before + 1);
      expect(order()).toEqual(['submit_sm_resp', 'deliver_sm']);
    }
  });

  test('late ones after their delay', async () => {
    turn({ delay_ms: 80 });
    const peer = await bound();
    const from = performance.now();
    await peer.submit(SUBMIT);
    await came(peer, 1);
    expect(performance.now() - from).toBeGreaterThanOrEqual(80);
  });

  test('doubled ones twice, missing ones never, intermediate ones before', async () => {
    turn({ double: true });
    const peer = await bound();
    await peer.submit(SUBMIT);
    await came(peer, 2);
    expect(textOf(peer.receipts[0])).toBe(textOf(peer.receipts[1]));
    turn({ double: false, share_missing: 1 });
    await peer.submit(SUBMIT);
    expect(simulator.counters('mci').receipts_missing).toBe(1);
    turn({ share_missing: 0, intermediate: 'ENROUTE' });
    await peer.submit(SUBMIT);
    await came(peer, 4);
    expect(peer.receipts.slice(2).map((one) => one.message_state)).toEqual([1, 2]);
  });

  test('shares are drawn by the seed', async () => {
    const ends = async (): Promise<(number | undefined)[]> => {
      simulator.reset();
      turn({ share_undelivered: 0.5 });
      const peer = await bound();
      for (let i = 0; i < 40; i++) await peer.submit({ ...SUBMIT, short_message: `m${i}` });
      await came(peer, 40);
      peer.session.destroy();
      await until('the bind is gone', () => simulator.counters('mci').binds_now.transceiver === 0);
      return peer.receipts.map((one) => one.message_state);
    };
    const first = await ends();
    expect(new Set(first)).toEqual(new Set([2, 5]));
    expect(await ends()).toEqual(first);
  });

  test('one for each part, or one for the whole with the first part’s id', async () => {
    turn({});
    const peer = await bound();
    const send = async (reference: number): Promise<string[]> => {
      const ids: string[] = [];
      for (const number of [2, 1]) {
        const short_message = Buffer.concat([udh(reference, 2, number), Buffer.from(`p${number}`)]);
        ids.push((await peer.submit({ ...SUBMIT, esm_class: 0x40, short_message })).message_id as string);
      }
      return ids;
    };
    const each = await send(1);
    await came(peer, 2);
    turn({ per_part: false });
    const [, first] = await send(2);
    await came(peer, 3);
    expect(peer.receipts.map((one) => one.receipted_message_id)).toEqual([...each, first as string]);
    await answered(3);
  });

  test('for what was accepted in silence as well', async () => {
    turn({});
    simulator.dials('mci', { rules: [{ outcome: 'silent' }] });
    const peer = await bound();
    void peer.submit(SUBMIT).catch(() => undefined);
    await came(peer, 1);
    expect(peer.receipts[0]?.user_message_reference).toBe(4711);
  });
});

describe('how receipts travel', () => {
  test('to a receiver of the same system_id, and to no other', async () => {
    turn({});
    const transmitter = await bound('transmitter');
    const receiver = await bound('receiver');
    const stranger = await bound('receiver', 'mtn');
    await transmitter.submit(SUBMIT);
    await came(receiver, 1);
    expect(transmitter.receipts).toEqual([]);
    expect(stranger.receipts).toEqual([]);
  });

  test('they wait for a bind, and go to the next one when a link ends before their answer', async () => {
    turn({});
    const transmitter = await bound('transmitter');
    await transmitter.submit(SUBMIT);
    await until('the receipt waits', () => simulator.counters('mci').receipts_waiting === 1);
    const deaf = await bound('receiver');
    deaf.receiptStatus = null;
    await came(deaf, 1);
    deaf.session.destroy();
    const next = await bound('receiver');
    await came(next, 1);
    expect(textOf(next.receipts[0])).toBe(textOf(deaf.receipts[0]));
    await answered(1);
    expect(simulator.counters('mci')).toMatchObject({ receipts_sent: 2, receipts_waiting: 0 });
  });

  test('a temporary refusal brings it again, a final one does not', async () => {
    turn({ retry_ms: 5 });
    const peer = await bound();
    peer.receiptStatus = 0x64;
    await peer.submit(SUBMIT);
    await came(peer, 2);
    peer.receiptStatus = 0x65;
    await came(peer, 3);
    await until('the final refusal', () => simulator.counters('mci').receipts_refused === peer.receipts.length);
    const tries = peer.receipts.length;
    peer.receiptStatus = 0;
    await peer.submit(SUBMIT);
    await answered(1);
    expect(peer.receipts.length).toBe(tries + 1);
  });

  test('no more of them are unanswered than the window allows', async () => {
    turn({ window: 3 });
    const peer = await bound();
    peer.receiptStatus = null;
    await Promise.all(Array.from({ length: 10 }, (_, n) => peer.submit({ ...SUBMIT, short_message: `m${n}` })));
    await came(peer, 3);
    await until('the others wait', () => simulator.counters('mci').receipts_waiting === 10);
    await peer.request('enquire_link');
    expect(peer.receipts.length).toBe(3);
    peer.receiptStatus = 0;
    for (const receipt of [...peer.receipts]) peer.session.send(receipt.response());
    await answered(10);
    expect(new Set(peer.receipts.map((one) => one.receipted_message_id)).size).toBe(10);
  });
});
