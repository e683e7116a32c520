import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { type Simulator, startSimulator } from '../../simulator/index.ts';
import { bindPeer, connectPeer, connectRaw, type Peer, type Raw, until } from './peers.ts';

let simulator: Simulator;
const peers: Peer[] = [];
const raws: Raw[] = [];
beforeAll(async () => {
  simulator = await startSimulator({ httpPort: 0, smppPort: 0 });
});
afterEach(() => {
  for (const peer of peers.splice(0)) peer.session.destroy();
  for (const raw of raws.splice(0)) raw.socket.destroy();
  simulator.reset();
});
afterAll(() => simulator.close());

async function bound(systemId = 'mci'): Promise<Peer> {
  const peer = await bindPeer(simulator, systemId);
  peers.push(peer);
  return peer;
}

const message = (text: string) => ({ destination_addr: '989121234567', data_coding: 0, short_message: text });
const settled = <T>(asked: Promise<T>): { done: boolean } => {
  const state = { done: false };
  const end = (): void => {
    state.done = true;
  };
  asked.then(end, end);
  return state;
};

describe('enquire_link', () => {
  test('is answered, unless the dial silences it', async () => {
    const peer = await bound();
    expect((await peer.request('enquire_link')).command_status).toBe(0);
    simulator.dials('mci', { enquire_link_silent: true });
    const unanswered = settled(peer.request('enquire_link'));
    expect((await peer.submit(message('x'))).command_status).toBe(0);
    expect(unanswered.done).toBe(false);
    expect(simulator.counters('mci').enquire_links_received).toBe(2);
  });

  test('is sent by the operator as well; who does not answer is dropped', async () => {
    const early = await bound();
    simulator.dials('mci', { enquire_link_every_ms: 20 });
    await until('three answers', () => simulator.counters('mci').enquire_links_answered >= 3);
    const late = await bound();
    await until('both are asked', () => late.arrived.some(({ command }) => command === 'enquire_link'));
    early.answersEnquiries = false;
    await early.closed;
    expect(late.isClosed).toBe(false);
    expect(simulator.counters('mci').dropped).toBe(1);
  });
});

describe('an operator that is away', () => {
  test('drops its binds and refuses new ones, and nobody else’s', async () => {
    const [mci, mtn] = [await bound('mci'), await bound('mtn')];
    simulator.dials('mci', { accept_connections: false });
    await mci.closed;
    await expect(bound('mci')).rejects.toThrow('the link closed');
    expect((await mtn.submit(message('x'))).command_status).toBe(0);
    expect(simulator.counters('mci')).toMatchObject({ refused_connections: 1, binds_now: { transceiver: 0 } });
    simulator.dials('mci', { accept_connections: true });
    expect((await (await bound('mci')).submit(message('x'))).command_status).toBe(0);
  });

  test('when all are away the port itself refuses, until one is back', async () => {
    const peer = await bound('mtn');
    for (const name of simulator.names) simulator.dials(name, { accept_connections: false });
    await peer.closed;
    const refused = async (): Promise<string> => {
      try {
        (await connectPeer(simulator.smppPort)).session.destroy();
        return 'connected';
      } catch (thrown) {
        return (thrown as { code: string }).code;
      }
    };
    let last = '';
    for (let i = 0; i < 100 && last !== 'ECONNREFUSED'; i++) last = await refused();
    expect(last).toBe('ECONNREFUSED');
    simulator.dials('rightel', { accept_connections: true });
    for (let i = 0; i < 100 && last !== 'connected'; i++) last = await refused();
    expect((await (await bound('rightel')).submit(message('x'))).command_status).toBe(0);
  });

  test('a drop by hand ends its binds', async () => {
    const [one, two, other] = [await bound(), await bound(), await bound('mtn')];
    expect(simulator.drop('mci')).toBe(2);
    await Promise.all([one.closed, two.closed]);
    expect(other.isClosed).toBe(false);
  });
});

describe('a frozen operator', () => {
  test('answers nothing, not even enquire_link or a bind, and goes on where it was when it thaws', async () => {
    const peer = await bound();
    simulator.dials('mci', { freeze: true });
    const asked = [peer.submit(message('x')), peer.request('enquire_link')];
    const connected = await connectPeer(simulator.smppPort);
    peers.push(connected);
    asked.push(connected.request('bind_transceiver', { system_id: 'mci', password: 'mci' }));
    const states = asked.map(settled);
    const other = await bound('mtn');
    for (let i = 0; i < 5; i++) expect((await other.submit(message('x'))).command_status).toBe(0);
    expect(states.map(({ done }) => done)).toEqual([false, false, false]);
    expect(simulator.counters('mci')).toMatchObject({ received: 0, enquire_links_received: 0, binds: 1 });
    simulator.dials('mci', { freeze: false });
    for (const answer of await Promise.all(asked)) expect(answer.command_status).toBe(0);
    expect(simulator.counters('mci')).toMatchObject({ accepted: 1, binds: 2 });
  });

  test('keeps back the answers it owed', async () => {
    simulator.dials('mci', { latency_ms: 20 });
    const peer = await bound();
    const asked = peer.submit(message('x'));
    const state = settled(asked);
    await until('the submit', () => simulator.counters('mci').accepted === 1);
    simulator.dials('mci', { freeze: true });
    const other = await bound('mtn');
    simulator.dials('mtn', { latency_ms: 40 });
    await other.submit(message('x'));
    expect(state.done).toBe(false);
    simulator.dials('mci', { freeze: false });
    expect((await asked).command_status).toBe(0);
  });
});

describe('links that drop mid-window', () => {
  /** Submits until `total` are answered, on a new bind whenever one drops; what is unanswered then is not sent again. */
  async function push(total: number): Promise<{ answered: number; lost: number; drops: number }> {
    let answered = 0;
    let lost = 0;
    let drops = 0;
    while (answered + lost < total) {
      const peer = await bound();
      const batch = Array.from({ length: Math.min(20, total - answered - lost) }, (_, n) =>
        peer.submit(message(`${drops}-${answered}-${n}`)),
      );
      const ends = await Promise.allSettled(batch);
      answered += ends.filter(({ status }) => status === 'fulfilled').length;
      lost += ends.filter(({ status }) => status === 'rejected').length;
      if (peer.isClosed) drops++;
      else peer.session.destroy();
    }
    return { answered, lost, drops };
  }

  test('at every n-th submit, as often as the dial says and no more', async () => {
    simulator.dials('mci', { drop_after_n: 10, drop_times: 5 });
    const { answered, drops } = await push(200);
    expect(drops).toBe(5);
    expect(simulator.counters('mci').dropped).toBe(5);
    expect(simulator.counters('mci').accepted).toBeGreaterThanOrEqual(answered);
  });

  for (const [mode, accepted] of [
    ['before', 2],
    ['after', 3],
    ['cut', 3],
  ] as const) {
    test(`${mode}: the n-th submit is ${accepted === 3 ? 'accepted and not answered' : 'not accepted'}`, async () => {
      simulator.dials('mci', { drop_after_n: 3, drop_mode: mode });
      const peer = await bound();
      expect((await peer.submit(message('1'))).command_status).toBe(0);
      expect((await peer.submit(message('2'))).command_status).toBe(0);
      await expect(peer.submit(message('3'))).rejects.toThrow('the link closed');
      expect(simulator.counters('mci')).toMatchObject({ received: 3, accepted, dropped: 1 });
      const again = await bound();
      for (let n = 4; n < 12; n++) expect((await again.submit(message(`${n}`))).command_status).toBe(0);
    });
  }

  test('cut: half of the answer is on the wire', async () => {
    simulator.dials('mci', { drop_after_n: 1, drop_mode: 'cut' });
    const peer = await bound();
    let bytes = 0;
    const before = peer.session.socket.bytesRead;
    await expect(peer.submit(message('1'))).rejects.toThrow('the link closed');
    bytes = peer.session.socket.bytesRead - before;
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(33);
  });
});

test('answers in fragments are whole when they are put together', async () => {
  simulator.dials('mci', { partial_pdus: 'fragments', receipts: { mode: 'deliver' } });
  const peer = await bound();
  let chunks = 0;
  const emit = peer.session.socket.emit.bind(peer.session.socket);
  peer.session.socket.emit = ((event: string, ...given: unknown[]) => {
    if (event === 'readable') chunks++;
    return emit(event, ...given);
  }) as typeof peer.session.socket.emit;
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, n) => peer.submit({ ...message(`m${n}`), registered_delivery: 1 })),
  );
  expect(answers.every(({ command_status }) => command_status === 0)).toBe(true);
  expect(answers.map(({ message_id }) => message_id)).toEqual(
    simulator
      .records('mci')
      .map(({ operator_ids }) => operator_ids[0] as string)
      .reverse(),
  );
  await until('the receipts', () => peer.receipts.length === 10);
  expect(chunks).toBeGreaterThan(20);
});

describe('bytes that are no SMPP harm nobody', () => {
  const header = (length: number, command: number, sequence = 1): Buffer => {
    const pdu = Buffer.alloc(16);
    pdu.writeUInt32BE(length, 0);
    pdu.writeUInt32BE(command, 4);
    pdu.writeUInt32BE(sequence, 12);
    return pdu;
  };
  const pdu = (command: number, body: Buffer): Buffer => Buffer.concat([header(16 + body.length, command), body]);
  const submit = (tail: Buffer): Buffer =>
    pdu(0x04, Buffer.concat([Buffer.from('\0\0\0BANK\0\x01\x01989121234567\0\0\0\0\0\0\x01\0\0\0', 'latin1'), tail]));
  const bind = pdu(0x09, Buffer.from('mci\0mci\0\0\x34\0\0\0', 'latin1'));
  /** The command and status of the first PDU in an answer. */
  const heads = (text: string): string[] => {
    const bytes = Buffer.from(text, 'latin1');
    const found: string[] = [];
    for (let at = 0; at + 16 <= bytes.length; at += bytes.readUInt32BE(at)) {
      found.push(`${bytes.readUInt32BE(at + 4).toString(16)} ${bytes.readUInt32BE(at + 8).toString(16)}`);
    }
    return found;
  };
  const SUBMIT_RESP = '80000004';

  const answered: readonly (readonly [name: string, sent: Buffer, answer: string])[] = [
    ['an unknown command', pdu(0x7777, Buffer.alloc(3)), '80000000 3'],
    ['query_sm, which it does not play', pdu(0x03, Buffer.from('1\0\0\0\0', 'latin1')), '80000000 3'],
    ['a submit with no body', pdu(0x04, Buffer.alloc(0)), `${SUBMIT_RESP} 2`],
    ['a submit with an address without end', pdu(0x04, Buffer.alloc(40, 0x41)), `${SUBMIT_RESP} 2`],
    ['a submit that ends before its text', submit(Buffer.from([100, 65, 66])), `${SUBMIT_RESP} 1`],
    ['a submit with half a TLV', submit(Buffer.from([1, 65, 2, 4])), `${SUBMIT_RESP} c0`],
    ['a submit with a TLV beyond its end', submit(Buffer.from([1, 65, 2, 4, 0, 9, 1])), `${SUBMIT_RESP} c0`],
    ['a second bind', bind, '80000009 5'],
  ];
  for (const [name, sent, answer] of answered) {
    test(`${name} is answered ${answer} and the link lives on`, async () => {
      const raw = await connectRaw(simulator.smppPort);
      raws.push(raw);
      raw.socket.write(Buffer.concat([bind, sent, header(16, 0x15)]));
      await until('three answers', () => heads(raw.text).length === 3);
      expect(heads(raw.text)).toEqual(['80000009 0', answer, '80000015 0']);
      expect(simulator.counters('mci')).toMatchObject({ accepted: 0, records: 0 });
    });
  }

  test('a UDH that lies beyond the message, and a part of more than all, are refused', async () => {
    const peer = await bound();
    for (const bytes of [[9, 0, 3], [5, 0, 9, 1, 2, 3], [5, 0, 3, 1, 2, 3], [5, 0, 3, 1, 0, 0], []]) {
      const answer = await peer.submit({ ...message(''), esm_class: 0x40, short_message: Buffer.from(bytes) });
      expect(answer.command_status).toBe(0x01);
    }
    expect(simulator.counters('mci')).toMatchObject({ malformed: 5, received: 0 });
  });

  for (const [name, sent] of [
    ['a length below a header', header(15, 0x15)],
    ['a length of nothing', Buffer.alloc(16)],
    ['a length beyond all', header(0xffffffff, 0x04)],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ] as const) {
    test(`${name} is answered generic_nack, and the link ends`, async () => {
      const raw = await connectRaw(simulator.smppPort);
      raws.push(raw);
      raw.socket.write(sent);
      await until('the close', () => raw.isClosed);
      expect(heads(raw.text)).toEqual(['80000000 2']);
      expect((await (await bound()).submit(message('x'))).command_status).toBe(0);
    });
  }

  test('random bytes in a thousand PDUs end no process', async () => {
    let state = 12345;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    const raw = await connectRaw(simulator.smppPort);
    raws.push(raw);
    raw.socket.write(bind);
    for (let i = 0; i < 1_000; i++) {
      const body = Buffer.from(Array.from({ length: random(120) }, () => random(256)));
      raw.socket.write(pdu([0x04, 0x04, 0x04, 0x05, 0x15, 0x80000005, 0x01][random(7)] as number, body));
    }
    raw.socket.write(header(16, 0x15, 777));
    await until('the last answer', () => raw.text.endsWith('\x80\0\0\x15\0\0\0\0\0\0\x03\x09'));
    expect((await (await bound()).submit(message('x'))).command_status).toBe(0);
  });

  test('a PDU in packets of one byte is understood', async () => {
    const raw = await connectRaw(simulator.smppPort);
    raws.push(raw);
    raw.socket.setNoDelay(true);
    for (const byte of Buffer.concat([bind, submit(Buffer.from([1, 65]))])) {
      await new Promise<void>((sent) => raw.socket.write(Buffer.from([byte]), () => sent()));
    }
    await until('both answers', () => heads(raw.text).length === 2);
    expect(heads(raw.text)).toEqual(['80000009 0', `${SUBMIT_RESP} 0`]);
    expect(simulator.records('mci')).toMatchObject([{ text: 'A', from: 'BANK' }]);
  });
});
