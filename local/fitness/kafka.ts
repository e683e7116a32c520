/**
 * Whether a Kafka answers and whether the address it gives its clients leads back to it. One Metadata request over a bare
 * socket: a client library would retry for many seconds against what is no Kafka.
 */
import { connect } from 'node:net';
import { isListening } from '../ports.ts';
import { ABSENT, ANSWER_WITHIN_MS, FIT, type Fitness, starting, unfit } from './fitness.ts';

type Broker = { host: string; port: number };
const METADATA = 3;
const METADATA_VERSION = 1;
const FRAME_BYTES_MAX = 1_000_000;

export const splitAddress = (address: string): Broker => {
  const at = address.lastIndexOf(':');
  return at < 0
    ? { host: address, port: 9092 }
    : { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
};

/** Metadata v1 for no topics: the brokers and the controller alone. */
function metadataRequest(): Buffer {
  const client = Buffer.from('jsms-local');
  const body = Buffer.alloc(10 + client.length + 4);
  body.writeInt16BE(METADATA, 0);
  body.writeInt16BE(METADATA_VERSION, 2);
  body.writeInt32BE(1, 4);
  body.writeInt16BE(client.length, 8);
  client.copy(body, 10);
  body.writeInt32BE(0, 10 + client.length);
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  return Buffer.concat([size, body]);
}

/** Reads the answer's body (after the size). Throws a RangeError when it is something else. */
export function readMetadata(body: Buffer): { brokers: Broker[]; hasController: boolean } {
  let at = 4;
  const int = () => {
    at += 4;
    return body.readInt32BE(at - 4);
  };
  const text = () => {
    const length = body.readInt16BE(at);
    at += 2 + Math.max(0, length);
    return body.toString('utf8', at - Math.max(0, length), at);
  };
  const brokers: Broker[] = [];
  for (let left = int(); left > 0; left--) {
    int();
    brokers.push({ host: text(), port: int() });
    text();
  }
  return { brokers, hasController: int() >= 0 };
}

function askMetadata(broker: Broker, waitMs: number): Promise<Buffer> {
  const socket = connect(broker);
  return new Promise<Buffer>((resolve, reject) => {
    let got = Buffer.alloc(0);
    const timer = setTimeout(() => reject(new Error('no answer')), waitMs);
    socket.once('close', () => {
      clearTimeout(timer);
      reject(new Error('it closed the connection'));
    });
    socket.once('error', reject);
    socket.on('data', (chunk) => {
      got = Buffer.concat([got, chunk]);
      const size = got.length >= 4 ? got.readInt32BE(0) : 0;
      if (size < 0 || size > FRAME_BYTES_MAX) reject(new Error('its answer is not in the protocol of Kafka'));
      else if (got.length >= 4 && got.length >= 4 + size) resolve(got.subarray(4, 4 + size));
    });
    socket.write(metadataRequest());
  }).finally(() => socket.destroy());
}

/** Looks at the first of the brokers that listens. Changes nothing there. */
export async function kafkaFitness(brokers: string, waitMs = ANSWER_WITHIN_MS): Promise<Fitness> {
  for (const address of brokers.split(',').map((part) => part.trim())) {
    const broker = splitAddress(address);
    if (!(await isListening(broker.host, broker.port, waitMs))) continue;
    try {
      const { brokers: named, hasController } = readMetadata(await askMetadata(broker, waitMs));
      const first = named[0];
      if (!first || !hasController) return starting(`Kafka at ${address} has no controller yet.`);
      if (await isListening(first.host, first.port, waitMs)) return FIT;
      return unfit(
        `Kafka at ${address} sends its clients to ${first.host}:${first.port}, where nobody answers: mend its advertised.listeners, or give KAFKA_BROKERS another port.`,
      );
    } catch (thrown) {
      const reason = (thrown as Error).message;
      if (reason === 'no answer') return starting(`What listens at ${address} does not answer as Kafka does.`);
      return unfit(
        `What listens at ${address} is no Kafka that can be used (${reason}): end it, or give KAFKA_BROKERS another port.`,
      );
    }
  }
  return ABSENT;
}
