import { expect, test } from 'bun:test';
import { startSimulator } from '../../simulator/index.ts';
import { TEST_CERTIFICATE, TEST_KEY } from './certificate.ts';
import { connectPeer, connectRaw, until } from './peers.ts';

test('with a key and a certificate the SMPP port speaks TLS, and nothing else', async () => {
  const simulator = await startSimulator({
    httpPort: 0,
    smppPort: 0,
    smppTls: { key: TEST_KEY, cert: TEST_CERTIFICATE },
  });
  try {
    const peer = await connectPeer(simulator.smppPort, { tls: true, ca: TEST_CERTIFICATE });
    expect((await peer.request('bind_transceiver', { system_id: 'mci', password: 'mci' })).command_status).toBe(0);
    const submitted = await peer.submit({ destination_addr: '989121234567', data_coding: 0, short_message: 'secret' });
    expect(submitted.command_status).toBe(0);
    expect(simulator.records('mci')).toMatchObject([{ text: 'secret', accepted: 1 }]);
    const plain = await connectRaw(simulator.smppPort);
    plain.socket.write(Buffer.from('000000100000001500000000000000010', 'hex'));
    await until('the plain link ends', () => plain.isClosed);
    expect(simulator.counters('mci').enquire_links_received).toBe(0);
    peer.session.destroy();
  } finally {
    await simulator.close();
  }
});
