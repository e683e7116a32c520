import { expect, test } from 'bun:test';
import net from 'node:net';
import fc from 'fast-check';
import smpp, { type Pdu } from 'smpp';
import { until } from './fake-http-operator.ts';
import { createRig, longSubmission, submission } from './smpp-rig.ts';

type Attack = { bound: boolean; chunks: Uint8Array[] };

const anyBytes = fc.uint8Array({ minLength: 1, maxLength: 400 });
/** A length that is right, or nearly, before whatever. */
const framed = fc
  .tuple(
    fc.constantFrom(
      0x04,
      0x05,
      0x06,
      0x09,
      0x15,
      0x102,
      0x103,
      0x8000_0000,
      0x8000_0004,
      0x8000_0005,
      0x8000_0009,
      0x8000_0015,
      0x1234,
    ),
    fc.constantFrom(0, 8, 0x58, 0xffff_ffff),
    fc.constantFrom(0, 1, 2, 3, 0x7fff_ffff, 0xffff_ffff),
    fc.uint8Array({ maxLength: 120 }),
    fc.constantFrom(0, 0, 0, -1, 1, 40),
  )
  .map(([command, status, sequence, body, off]) => {
    const frame = Buffer.alloc(16 + body.length);
    frame.writeUInt32BE(Math.max(0, frame.length + off), 0);
    frame.writeUInt32BE(command, 4);
    frame.writeUInt32BE(status, 8);
    frame.writeUInt32BE(sequence, 12);
    frame.set(body, 16);
    return new Uint8Array(frame);
  });
const attack: fc.Arbitrary<Attack> = fc.record({
  bound: fc.boolean(),
  chunks: fc.array(fc.oneof(anyBytes, framed), { minLength: 1, maxLength: 8 }),
});

const readable = (frame: Buffer): Pdu | null => {
  try {
    return new smpp.PDU(frame);
  } catch {
    return null;
  }
};

test('whatever bytes a server sends, the process lives, every submit ends, and the connector comes back', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(attack, { minLength: 3, maxLength: 6 }), async (attacks) => {
      let connections = 0;
      const sockets = new Set<net.Socket>();
      const server = net.createServer((socket) => {
        sockets.add(socket);
        const attacking = attacks[connections++];
        socket.on('error', () => undefined);
        socket.on('close', () => sockets.delete(socket));
        const strike = (): void => {
          for (const chunk of attacking?.chunks ?? []) if (socket.writable) socket.write(chunk);
          setTimeout(() => socket.destroy(), 30);
        };
        if (attacking && !attacking.bound) strike();
        socket.on('data', (chunk: Buffer) => {
          for (let at = 0; at + 16 <= chunk.length; at += chunk.readUInt32BE(at)) {
            const pdu = readable(chunk.subarray(at, at + chunk.readUInt32BE(at)));
            if (!pdu || pdu.isResponse() || !socket.writable) continue;
            if (attacking && !pdu.command.startsWith('bind_')) continue;
            socket.write(pdu.response(pdu.command === 'submit_sm' ? { message_id: 'x' } : {}).toBuffer());
            if (attacking?.bound) strike();
          }
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const rig = createRig((server.address() as net.AddressInfo).port, {
        reconnect: { minMs: 10, maxMs: 20 },
        connectTimeoutMs: 300,
        responseTimeoutMs: 300,
      });
      const ends: Promise<unknown>[] = [];
      try {
        await until(() => {
          if (rig.connector.free > 0 && connections <= attacks.length) {
            ends.push(rig.connector.submit(submission()), rig.connector.submit(longSubmission(3)));
          }
          return connections > attacks.length && rig.connector.ready;
        }, 'it is bound to the server in its right mind');
        await Promise.all(ends);
        expect(await rig.connector.submit(submission())).toMatchObject({ kind: 'accepted', operatorIds: ['x'] });
        expect(rig.connector.state().inflight).toBe(0);
      } finally {
        await rig.connector.close();
        for (const socket of sockets) socket.destroy();
        await new Promise<void>((resolve) => void server.close(() => resolve()));
      }
    }),
    { numRuns: 12 },
  );
}, 60_000);
