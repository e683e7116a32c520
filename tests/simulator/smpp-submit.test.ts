import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { PduFields } from 'smpp';
import { type Simulator, startSimulator } from '../../simulator/index.ts';
import { bindPeer, connectPeer, type Peer, ucs2, udh, until } from './peers.ts';

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

async function bound(systemId = 'mci', as: 'transceiver' | 'transmitter' | 'receiver' = 'transceiver'): Promise<Peer> {
  const peer = await bindPeer(simulator, systemId, as);
  peers.push(peer);
  return peer;
}

const TO = '989121234567';
const text = (message: string): PduFields => ({ destination_addr: TO, data_coding: 8, short_message: ucs2(message) });

describe('binding', () => {
  test('only a known system_id with its password binds, and only once', async () => {
    const peer = await connectPeer(simulator.smppPort);
    peers.push(peer);
    const bind = async (fields: PduFields): Promise<number> =>
      (await peer.request('bind_transceiver', fields)).command_status;
    expect((await peer.submit(text('early'))).command_status).toBe(0x04);
    expect(await bind({ system_id: 'nobody', password: 'x' })).toBe(0x0f);
    expect(await bind({ system_id: 'mci', password: 'mtn' })).toBe(0x0e);
    expect(simulator.counters('mci').binds_now.transceiver).toBe(0);
    const answer = await peer.request('bind_transceiver', { system_id: 'MCI', password: 'mci' });
    expect(answer).toMatchObject({ command_status: 0, system_id: 'simulator', sc_interface_version: 0x34 });
    expect(await bind({ system_id: 'mci', password: 'mci' })).toBe(0x05);
    expect(simulator.counters('mci')).toMatchObject({ binds: 1, binds_now: { transceiver: 1 }, received: 0 });
  });

  test('a receiver may not submit; an unbind is answered and ends the link', async () => {
    const peer = await bound('mci', 'receiver');
    expect((await peer.submit(text('x'))).command_status).toBe(0x04);
    expect((await peer.request('unbind')).command_status).toBe(0);
    await peer.closed;
    await until('the bind is gone', () => simulator.counters('mci').binds_now.receiver === 0);
  });

  test('a bind is refused with the status that the dial says', async () => {
    simulator.dials('mci', { bind_status: 0x0d });
    await expect(bound()).rejects.toThrow('bind answered 13');
    expect(simulator.counters('mci')).toMatchObject({ binds: 0, refused_connections: 1 });
    expect((await bound('mtn')).isClosed).toBe(false);
  });
});

describe('accepting', () => {
  test('a submit is answered with an id and recorded with all that it carried', async () => {
    const peer = await bound('mci', 'transmitter');
    const answer = await peer.submit({
      ...text('کد تایید: 1234'),
      service_type: 'OTP',
      source_addr_ton: 5,
      source_addr_npi: 0,
      source_addr: 'BANK',
      esm_class: 3,
      protocol_id: 0,
      priority_flag: 2,
      validity_period: '000000000500000R',
      registered_delivery: 1,
      user_message_reference: 4711,
    });
    expect(answer.command_status).toBe(0);
    expect(answer.message_id).toMatch(/^[0-9]+$/);
    expect(simulator.records('mci')).toEqual([
      {
        message_id: '4711',
        to: TO,
        from: 'BANK',
        text: 'کد تایید: 1234',
        encoding: 'ucs2',
        parts: 1,
        received: 1,
        accepted: 1,
        first_at: expect.any(String),
        last_at: expect.any(String),
        operator_ids: [answer.message_id as string],
        references: [4711],
        part_counts: [],
        smpp: {
          bind: 'transmitter',
          service_type: 'OTP',
          source_addr_ton: 5,
          source_addr_npi: 0,
          dest_addr_ton: 1,
          dest_addr_npi: 1,
          esm_class: 3,
          protocol_id: 0,
          priority_flag: 2,
          schedule_delivery_time: '',
          validity_period: '000000000500000R',
          registered_delivery: 1,
          data_coding: 8,
          concatenation: 'none',
          message_payload: false,
        },
      },
    ]);
    expect(simulator.records('mci', { messageId: '4711' })).toHaveLength(1);
    expect(simulator.records('mci', { to: '09121234567' })).toHaveLength(1);
    expect(simulator.records('mtn')).toEqual([]);
  });

  test('the same text to the same number is one message that was accepted twice', async () => {
    const peer = await bound();
    for (const message of ['a', 'b', 'a', 'a']) await peer.submit(text(message));
    expect(simulator.duplicates('mci')).toEqual({ [`${TO}\na`]: 3 });
    expect(simulator.counters('mci')).toMatchObject({ received: 4, accepted: 4, messages: 4, doubled: 2 });
    expect(simulator.records('mci').map(({ text: seen, accepted }) => [seen, accepted])).toEqual([
      ['b', 1],
      ['a', 3],
    ]);
    simulator.reset();
    simulator.dials('mci', { record: 'counts' });
    for (const message of ['a', 'b', 'a']) await peer.submit(text(message));
    expect(simulator.duplicates('mci')).toEqual({ [`${TO}\na`]: 2 });
    expect(simulator.records('mci')).toEqual([]);
  });

  const ids = [
    ['decimal', /^[0-9]{16}$/],
    ['hex', /^[0-9a-f]{14}$/],
    ['hex_then_decimal', /^[0-9a-f]{14}$/],
    ['decimal_then_hex', /^[0-9]{16}$/],
  ] as const;
  for (const [form, looks] of ids) {
    test(`the id form ${form} answers as it says`, async () => {
      simulator.dials('mci', { id_form: form });
      const { message_id } = await (await bound()).submit(text('x'));
      expect(message_id).toMatch(looks);
      expect(simulator.records('mci')[0]?.operator_ids).toEqual([message_id as string]);
    });
  }
});

describe('texts', () => {
  /** The default alphabet as GSM 03.38 prints it, row by row. */
  const alphabet =
    '@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&\'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà';

  test('GSM-7 as the client’s package encodes it is read back, each character and each escape', async () => {
    const peer = await bound();
    for (const message of [alphabet, '^{}\\[~]|€\f', 'plain ASCII 123', 'mixed {€} @ [x] _']) {
      await peer.submit({ destination_addr: TO, data_coding: 0, short_message: message });
      expect(simulator.records('mci', { limit: 1 })).toMatchObject([{ text: message, encoding: 'gsm7' }]);
    }
  });

  test('a message_payload is read like a short message', async () => {
    const long = 'سلام '.repeat(200);
    const peer = await bound();
    await peer.submit({ destination_addr: TO, data_coding: 8, message_payload: ucs2(long) });
    expect(simulator.records('mci')).toMatchObject([{ text: long, parts: 1, smpp: { message_payload: true } }]);
  });

  test('other codings are told apart', async () => {
    const peer = await bound();
    for (const [coding, bytes, encoding, read] of [
      [3, Buffer.from('é', 'latin1'), 'latin1', 'é'],
      [4, Buffer.from([0, 255]), 'binary', '00ff'],
      [0x18, ucs2('سلام'), 'ucs2', 'سلام'],
      [0xf0, Buffer.from('flash'), 'gsm7', 'flash'],
      [0xf6, Buffer.from([1]), 'binary', '01'],
    ] as const) {
      await peer.submit({ destination_addr: TO, data_coding: coding, short_message: bytes });
      expect(simulator.records('mci', { limit: 1 })).toMatchObject([{ text: read, encoding }]);
    }
  });
});

describe('long messages', () => {
  /** Three pages of Persian; an emoji would straddle the first boundary, so the first part has 66 units. */
  const parts = [`${'آزمون '.repeat(11)}`, `👍${'پیامک '.repeat(10)}12345`, 'پایان 👋'];
  const whole = parts.join('');

  const ways: readonly (readonly [name: string, concatenation: string, fields: (number: number) => PduFields])[] = [
    [
      'a UDH of 8 bits',
      'udh8',
      (n) => ({ esm_class: 0x40, short_message: Buffer.concat([udh(200, 3, n), ucs2(parts[n - 1] as string)]) }),
    ],
    [
      'a UDH of 16 bits',
      'udh16',
      (n) => ({ esm_class: 0x40, short_message: Buffer.concat([udh(51_966, 3, n, 16), ucs2(parts[n - 1] as string)]) }),
    ],
    [
      'SAR TLVs',
      'sar',
      (n) => ({
        short_message: ucs2(parts[n - 1] as string),
        sar_msg_ref_num: 7,
        sar_total_segments: 3,
        sar_segment_seqnum: n,
      }),
    ],
  ];
  for (const [name, concatenation, fields] of ways) {
    test(`a Persian message of three parts with an emoji at the boundary is put together from ${name}`, async () => {
      expect(parts[0]?.length).toBe(66);
      const peer = await bound();
      const ids: string[] = [];
      for (const number of [3, 1, 2]) {
        const answer = await peer.submit({ destination_addr: TO, data_coding: 8, ...fields(number) });
        ids.push(answer.message_id as string);
        expect(simulator.records('mci')).toHaveLength(number === 2 ? 1 : 0);
        expect(simulator.counters('mci').incomplete).toBe(number === 2 ? 0 : 1);
      }
      expect(simulator.records('mci')).toMatchObject([
        { text: whole, parts: 3, received: 1, accepted: 1, operator_ids: ids, smpp: { concatenation } },
      ]);
      expect(simulator.records('mci')[0]?.part_counts).toEqual(
        parts.map((part) => ({ text: part, received: 1, accepted: 1 })),
      );
      expect(simulator.counters('mci')).toMatchObject({ received: 3, accepted: 3, messages: 1, doubled: 0 });
    });
  }

  test('a pair that was split between two parts shows in the parts, and not in the whole', async () => {
    const peer = await bound();
    const bytes = ucs2('👍');
    for (const number of [1, 2]) {
      const half = bytes.subarray(number * 2 - 2, number * 2);
      await peer.submit({
        destination_addr: TO,
        data_coding: 8,
        esm_class: 0x40,
        short_message: Buffer.concat([udh(1, 2, number), half]),
      });
    }
    const [record] = simulator.records('mci');
    expect(record?.text).toBe('👍');
    expect(record?.part_counts.map((part) => part.text.isWellFormed())).toEqual([false, false]);
  });

  const part = (number: number, reference: number, message: string, total = 3): PduFields => ({
    destination_addr: TO,
    data_coding: 0,
    esm_class: 0x40,
    short_message: Buffer.concat([udh(reference, total, number), Buffer.from(message)]),
  });

  test('a refused part that is sent again completes the message; an accepted one that is sent again shows', async () => {
    simulator.dials('mci', { rules: [{ part: 2, times: 1, outcome: 'transient' }] });
    const peer = await bound();
    const status = async (number: number): Promise<number> =>
      (await peer.submit(part(number, 9, `part ${number} `))).command_status;
    expect([await status(1), await status(2), await status(3)]).toEqual([0, 8, 0]);
    expect(simulator.records('mci')).toMatchObject([{ received: 1, accepted: 0, text: 'part 1 part 2 part 3 ' }]);
    expect(await status(2)).toBe(0);
    expect(simulator.records('mci')).toMatchObject([{ received: 1, accepted: 1 }]);
    expect(simulator.counters('mci')).toMatchObject({ messages: 1, transient: 1, doubled: 0 });
    await status(1);
    expect(simulator.records('mci')[0]?.part_counts).toMatchObject([{ accepted: 2 }, { accepted: 1 }, { accepted: 1 }]);
    await status(2);
    await status(3);
    expect(simulator.records('mci')).toMatchObject([{ accepted: 2, parts: 3 }]);
    expect(Object.values(simulator.duplicates('mci'))).toEqual([2]);
  });

  test('a reference that comes round again is another message', async () => {
    const peer = await bound();
    for (const message of ['first', 'other']) {
      for (const number of [1, 2]) await peer.submit(part(number, 5, `${message}${number}`, 2));
    }
    expect(simulator.records('mci').map((record) => record.text)).toEqual(['other1other2', 'first1first2']);
    expect(simulator.counters('mci')).toMatchObject({ messages: 2, doubled: 0, incomplete: 0 });
  });

  test('a message of one part out of one is whole', async () => {
    await (await bound()).submit(part(1, 5, 'alone', 1));
    expect(simulator.records('mci')).toMatchObject([{ text: 'alone', parts: 1, accepted: 1 }]);
  });
});

describe('outcomes by rule', () => {
  const refusals = [
    ['reject', 0x0b, 'rejected'],
    ['transient', 0x08, 'transient'],
    ['throttle', 0x58, 'throttled'],
    ['unauthorized', 0x04, 'unauthorized'],
    ['wrong_network', 0x400, 'wrong_network'],
  ] as const;
  for (const [outcome, status, counter] of refusals) {
    test(`${outcome} answers 0x${status.toString(16)}, or the rule’s own status, and accepts nothing`, async () => {
      simulator.dials('mci', {
        rules: [
          { match: '7$', outcome },
          { match: '8$', outcome, smpp_status: 0x45 },
        ],
      });
      const peer = await bound();
      expect((await peer.submit(text('x'))).command_status).toBe(status);
      expect((await peer.submit({ ...text('x'), destination_addr: '989121234568' })).command_status).toBe(0x45);
      expect((await peer.submit({ ...text('x'), destination_addr: '989121234569' })).command_status).toBe(0);
      expect(simulator.counters('mci')).toMatchObject({ received: 3, accepted: 1, [counter]: 2 });
      expect(simulator.records('mci', { to: TO })).toMatchObject([{ received: 1, accepted: 0, operator_ids: [] }]);
    });
  }

  test('silent accepts and never answers; silent_drop does neither; the link lives on', async () => {
    const peer = await bound();
    for (const [outcome, accepted] of [
      ['silent', 1],
      ['silent_drop', 0],
    ] as const) {
      simulator.reset();
      simulator.dials('mci', { rules: [{ match: '7$', outcome }] });
      const before = peer.arrived.length;
      void peer.submit(text('x')).catch(() => undefined);
      // Answers keep the order of the requests: had there been one, it would have come before this.
      expect((await peer.submit({ ...text('y'), destination_addr: '989121234568' })).command_status).toBe(0);
      expect(peer.arrived.length).toBe(before + 1);
      expect(simulator.counters('mci')).toMatchObject({ received: 2, accepted: 1 + accepted, silent: 1 });
    }
  });

  test('disconnect_before drops the link unaccepted, disconnect_after accepted', async () => {
    for (const [outcome, accepted] of [
      ['disconnect_before', 0],
      ['disconnect_after', 1],
    ] as const) {
      simulator.reset();
      simulator.dials('mci', { rules: [{ outcome, times: 1 }] });
      const peer = await bound();
      await expect(peer.submit(text('x'))).rejects.toThrow('the link closed');
      expect(simulator.counters('mci')).toMatchObject({ received: 1, accepted, dropped: 1 });
      expect((await (await bound()).submit(text('x'))).command_status).toBe(0);
      expect(simulator.records('mci')).toMatchObject([{ received: 2, accepted: accepted + 1 }]);
    }
  });
});

describe('rate, latency and window', () => {
  test('no second has more accepted submits than throttle_tps; the others are throttled', async () => {
    simulator.dials('mci', { throttle_tps: 5 });
    const peer = await bound();
    const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => peer.submit(text(`m${n}`))));
    const { accepted, throttled, per_second } = simulator.counters('mci');
    expect(answers.filter(({ command_status }) => command_status === 0x58)).toHaveLength(throttled);
    expect(accepted + throttled).toBe(40);
    expect(throttled).toBeGreaterThan(0);
    for (const n of Object.values(per_second)) expect(n).toBeLessThanOrEqual(5);
  });

  test('latency delays each answer on its own', async () => {
    simulator.dials('mci', { latency_ms: 60 });
    const peer = await bound();
    const from = performance.now();
    await Promise.all(Array.from({ length: 50 }, (_, n) => peer.submit(text(`m${n}`))));
    expect(performance.now() - from).toBeGreaterThanOrEqual(59);
    expect(performance.now() - from).toBeLessThan(2_000);
  });

  for (const status of [0x58, 0x14]) {
    test(`submits beyond max_outstanding are answered 0x${status.toString(16)} and not accepted`, async () => {
      simulator.dials('mci', { latency_ms: 50, max_outstanding: 10, max_outstanding_status: status });
      const peer = await bound();
      const answers = await Promise.all(Array.from({ length: 25 }, (_, n) => peer.submit(text(`m${n}`))));
      expect(answers.filter(({ command_status }) => command_status === 0)).toHaveLength(10);
      expect(answers.filter(({ command_status }) => command_status === status)).toHaveLength(15);
      expect(simulator.counters('mci')).toMatchObject({ accepted: 10, throttled: 15 });
      expect((await peer.submit(text('later'))).command_status).toBe(0);
    });
  }

  test('a window of 100 kept full for 20,000 submits gets one answer for each', async () => {
    simulator.dials('mci', { record: 'counts' });
    const peer = await bound();
    const total = 20_000;
    let sent = 0;
    let done = 0;
    await new Promise<void>((resolve) => {
      const next = (): void => {
        if (sent < total) {
          sent++;
          peer.session.submit_sm({ destination_addr: TO, data_coding: 8, short_message: ucs2(`m${sent}`) }, () => {
            if (++done === total) resolve();
            else next();
          });
        }
      };
      for (let i = 0; i < 100; i++) next();
    });
    expect(simulator.counters('mci')).toMatchObject({ accepted: total, doubled: 0 });
  }, 20_000);
});
