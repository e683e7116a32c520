import { expect, test } from 'bun:test';
import { type AddressInfo, createServer } from 'node:net';
import { kafkaFitness, readMetadata, splitAddress } from '../../../local/fitness/kafka.ts';
import { freePort } from '../../../local/ports.ts';
import { infra } from '../../support/infra.ts';

const { kafkaBrokers } = infra();

/** The answer of a broker that names one other as its address: correlation id, one broker, the controller. */
function metadata(host: string, port: number, controller: number): Buffer {
  const body = Buffer.alloc(4 + 4 + 4 + 2 + host.length + 4 + 2 + 4 + 4);
  body.writeInt32BE(1, 0);
  body.writeInt32BE(1, 4);
  body.writeInt32BE(1, 8);
  body.writeInt16BE(host.length, 12);
  body.write(host, 14);
  body.writeInt32BE(port, 14 + host.length);
  body.writeInt16BE(-1, 18 + host.length);
  body.writeInt32BE(controller, 20 + host.length);
  return body;
}

async function answering(answer: Buffer): Promise<{ address: string; close: () => void }> {
  const server = createServer((socket) => {
    socket.once('data', () => socket.end(answer));
    socket.on('error', () => undefined);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

const framed = (body: Buffer): Buffer => {
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  return Buffer.concat([size, body]);
};

test('a real Kafka is fit, also as the second of the addresses', async () => {
  expect(await kafkaFitness(kafkaBrokers)).toEqual({ state: 'fit' });
  expect(await kafkaFitness(`127.0.0.1:${await freePort()}, ${kafkaBrokers}`)).toEqual({ state: 'fit' });
});

test('nobody there is absent', async () => {
  expect(await kafkaFitness(`127.0.0.1:${await freePort()}`)).toEqual({ state: 'absent' });
});

test('a Kafka that sends its clients where nobody answers is refused with the mend', async () => {
  const nowhere = await freePort();
  const server = await answering(framed(metadata('127.0.0.1', nowhere, 1)));
  const fitness = await kafkaFitness(server.address);
  server.close();
  expect(fitness).toHaveProperty(
    'reason',
    expect.stringContaining(`to 127.0.0.1:${nowhere}, where nobody answers: mend its advertised.listeners`),
  );
});

test('a Kafka without a controller is still starting', async () => {
  const server = await answering(framed(metadata('127.0.0.1', 1, -1)));
  expect((await kafkaFitness(server.address)).state).toBe('starting');
  server.close();
});

test('a web server is no Kafka', async () => {
  const server = await answering(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
  const fitness = await kafkaFitness(server.address);
  server.close();
  expect(fitness).toHaveProperty('reason', expect.stringContaining('is no Kafka that can be used'));
});

test('an answer that ends early is an error, not a broker', () => {
  const whole = metadata('broker', 9092, 1);
  expect(readMetadata(whole)).toEqual({ brokers: [{ host: 'broker', port: 9092 }], hasController: true });
  expect(() => readMetadata(whole.subarray(0, 20))).toThrow();
});

test.each([
  ['127.0.0.1:9092', { host: '127.0.0.1', port: 9092 }],
  ['[::1]:19092', { host: '::1', port: 19092 }],
  ['broker', { host: 'broker', port: 9092 }],
])('the address %p', (address, broker) => {
  expect(splitAddress(address)).toEqual(broker);
});
