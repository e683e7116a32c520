/** Reads single files out of a zip or jar: a machine with Java alone has neither `unzip` nor `jar`. */
import { readFileSync } from 'node:fs';
import { crc32, inflateRawSync } from 'node:zlib';

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const COMMENT_BYTES_MAX = 65_535;

export type ZipEntry = { name: string; read(): Buffer };

function findEnd(zip: Buffer): number {
  for (let at = zip.length - END_BYTES; at >= Math.max(0, zip.length - END_BYTES - COMMENT_BYTES_MAX); at--) {
    if (zip.readUInt32LE(at) === END) return at;
  }
  throw new Error('not a zip file');
}

function content(zip: Buffer, name: string, central: number): Buffer {
  const method = zip.readUInt16LE(central + 10);
  const checksum = zip.readUInt32LE(central + 16);
  const packedBytes = zip.readUInt32LE(central + 20);
  const bytes = zip.readUInt32LE(central + 24);
  const local = zip.readUInt32LE(central + 42);
  if (zip.readUInt32LE(local) !== LOCAL) throw new Error(`${name}: the zip file is damaged`);
  // The lengths of the local header count here: its extra field may differ from the central one.
  const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
  const packed = zip.subarray(start, start + packedBytes);
  if (method !== 0 && method !== 8) throw new Error(`${name}: packed by method ${method}, which is not supported`);
  const plain = method === 0 ? packed : inflateRawSync(packed);
  if (plain.length !== bytes || crc32(plain) !== checksum) throw new Error(`${name}: the zip file is damaged`);
  return plain;
}

/** The entries of a zip file below 4 GB. Throws when it is none, or when an entry that is read is damaged. */
export function zipEntries(path: string): ZipEntry[] {
  const zip = readFileSync(path);
  const end = findEnd(zip);
  const entries: ZipEntry[] = [];
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    if (zip.readUInt32LE(at) !== CENTRAL) throw new Error('the zip file is damaged');
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => zip.readUInt16LE(at + field));
    const name = zip.toString('utf8', at + 46, at + 46 + (nameBytes ?? 0));
    const central = at;
    entries.push({ name, read: () => content(zip, name, central) });
    at += 46 + (nameBytes ?? 0) + (extraBytes ?? 0) + (commentBytes ?? 0);
  }
  return entries;
}
