import { describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { selfSignedCertificate } from './certificate.ts';
import { until } from './fake-http-operator.ts';
import { createRig, type Rig, submission } from './smpp-rig.ts';
import { accept, accepted, closeAfter, rigAt, simulator, smsc, unknown } from './smpp-scene.ts';

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
    closeAfter(() => new Promise<void>((resolve) => void server.close(() => resolve())));
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
    closeAfter(() => rmSync(folder, { recursive: true }));
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
    closeAfter(() => rmSync(folder, { recursive: true }));
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
