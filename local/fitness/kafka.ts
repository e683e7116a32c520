/**
 * Whether a Kafka answers, leads its clients back to itself and takes consumer groups. Asked over a bare socket: a client
 * library would retry for many seconds against what is no Kafka.
 */
import { connect } from 'node:net';
import { isListening } from '../ports.ts';
import { ABSENT, ANSWER_WITHIN_MS, FIT, type Fitness, starting, unfit } from './fitness.ts';

type Broker = { host: string; port: number };
const FRAME_BYTES_MAX = 1_000_000;

export const splitAddress = (address: string): Broker => {
  const at = address.lastIndexOf(':');
  return at < 0
    ? { host: address, port: 9092 }
    : { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
};

/** A request in the protocol of Kafka: its size, the header, the body. */
function request(apiKey: number, version: number, body: Buffer): Buffer {
  const client = Buffer.from('jsms-local');
  const header = Buffer.alloc(14);
  header.writeInt32BE(10 + client.length + body.length, 0);
  header.writeInt16BE(apiKey, 4);
  header.writeInt16BE(version, 6);
  header.writeInt32BE(1, 8);
  header.writeInt16BE(client.length, 12);
  return Buffer.concat([header, client, body]);
}

/** Metadata v1 for no topics: the brokers and the controller alone. */
const METADATA = request(3, 1, Buffer.alloc(4));

/**
 * FindCoordinator v1 for a consumer group that never has a member. A new Kafka makes its topic of offsets at the first
 * such question, and until it has, a client that joins a group gives up.
 */
const FIND_COORDINATOR = request(10, 1, Buffer.concat([Buffer.from([0, 4]), Buffer.from('jsms'), Buffer.from([0])]));
const COORDINATOR_NOT_AVAILABLE = 15;

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

/** Sends one request and reads its answer, after the size. */
function ask(broker: Broker, question: Buffer, waitMs: number): Promise<Buffer> {
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
    socket.write(question);
  }).finally(() => socket.destroy());
}

/** Looks at the first of the brokers that listens. */
export async function kafkaFitness(brokers: string, waitMs = ANSWER_WITHIN_MS): Promise<Fitness> {
  for (const address of brokers.split(',').map((part) => part.trim())) {
    const broker = splitAddress(address);
    if (!(await isListening(broker.host, broker.port, waitMs))) continue;
    try {
      const { brokers: named, hasController } = readMetadata(await ask(broker, METADATA, waitMs));
      const first = named[0];
      if (!first || !hasController) return starting(`Kafka at ${address} has no controller yet.`);
      if (!(await isListening(first.host, first.port, waitMs))) {
        return unfit(
          `Kafka at ${address} sends its clients to ${first.host}:${first.port}, where nobody answers: mend its advertised.listeners, or give KAFKA_BROKERS another port.`,
        );
      }
      const coordinator = await ask(broker, FIND_COORDINATOR, waitMs);
      if (coordinator.readInt16BE(8) === COORDINATOR_NOT_AVAILABLE) {
        return starting(`Kafka at ${address} has no coordinator for consumer groups yet.`);
      }
      return FIT;
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
