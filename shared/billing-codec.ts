/**
 * The billing contract's messages as bytes, by protobufjs itself. proto-loader copies each message before it is written and after it was
 * read, which costs as much again as writing and reading it, and makes an object and a text of every int64.
 *
 * What is read has all its fields: what was not sent has its default. int64 are numbers; ours are Rials and epoch milliseconds.
 */
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { DirectWriter, VARINT_BYTES_MAX } from './direct-writer.ts';

export const PROTO_FILE = join(import.meta.dirname, '..', 'proto', 'billing.proto');
export const SERVICE = 'jsms.billing.v1.Billing';

/** Reads an int64 as a number. Throws for one that is negative or past the safe integers: nobody of ours sends any. */
function readInt64(this: protobuf.Reader): number {
  let value = 0;
  let place = 1;
  for (let read = 0; read < VARINT_BYTES_MAX; read += 1) {
    if (this.pos >= this.len) throw new RangeError('an int64 past the end of the message');
    const byte = this.buf[this.pos++] as number;
    value += (byte & 0x7f) * place;
    if (byte < 0x80) {
      if (!Number.isSafeInteger(value)) throw new RangeError('an int64 outside the safe integers');
      return value;
    }
    place *= 0x80;
  }
  throw new RangeError('an int64 without an end');
}

class NumberReader extends protobuf.BufferReader {}
// protobufjs' own answers a Long, which no number may stand in for where TypeScript looks.
Object.defineProperty(NumberReader.prototype, 'int64', { value: readInt64 });

const NO_BYTES = Buffer.alloc(0);

/** What a message of this type says of fields that were not sent, where protobufjs would say something else than was agreed. */
function setDefaults(type: protobuf.Type): void {
  const defaults = type.ctor.prototype as Record<string, unknown>;
  for (const field of type.fieldsArray) {
    const { long, bytes, repeated, name } = field.resolve();
    if (repeated) continue;
    if (long) defaults[name] = 0;
    if (bytes) defaults[name] = NO_BYTES;
  }
}

const writer = new DirectWriter();
const write =
  (type: protobuf.Type) =>
  (message: object): Buffer => {
    type.encode(message, writer.begin());
    return writer.finish();
  };
const read =
  (type: protobuf.Type) =>
  (bytes: Buffer): object =>
    type.decode(new NumberReader(bytes));

/** What a gRPC method definition has of its own. */
export type MethodCodec = {
  requestSerialize(message: object): Buffer;
  requestDeserialize(bytes: Buffer): object;
  responseSerialize(message: object): Buffer;
  responseDeserialize(bytes: Buffer): object;
};

/** By the method's name. */
export function billingCodecs(): ReadonlyMap<string, MethodCodec> {
  const root = new protobuf.Root().loadSync(PROTO_FILE, { keepCase: true }).resolveAll();
  const service = root.lookupService(SERVICE);
  for (const one of service.parent?.nestedArray ?? []) if (one instanceof protobuf.Type) setDefaults(one);
  return new Map(
    service.methodsArray.map(({ name, resolvedRequestType: request, resolvedResponseType: response }) => {
      if (request === null || response === null) throw new Error(`${SERVICE}.${name} has no types`);
      return [
        name,
        {
          requestSerialize: write(request),
          requestDeserialize: read(request),
          responseSerialize: write(response),
          responseDeserialize: read(response),
        },
      ];
    }),
  );
}
