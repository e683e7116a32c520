import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { zipEntries } from '../../../local/servers/zip.ts';

const dir = mkdtempSync(join(tmpdir(), 'jsms-zip-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

type File = { name: string; content: Buffer; method: 0 | 8; localExtra?: number };

/** A zip file as the format's description says it; the local headers' extra fields differ from the central ones'. */
function writeZip(files: File[], comment = ''): Buffer {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let at = 0;
  for (const { name, content, method, localExtra = 0 } of files) {
    const packed = method === 8 ? deflateRawSync(content) : content;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(method, 8);
    local.writeUInt16LE(Buffer.byteLength(name), 26);
    local.writeUInt16LE(localExtra, 28);
    const head = Buffer.alloc(46);
    head.writeUInt32LE(0x02014b50, 0);
    head.writeUInt16LE(method, 10);
    head.writeUInt32LE(crc32(content), 16);
    head.writeUInt32LE(packed.length, 20);
    head.writeUInt32LE(content.length, 24);
    head.writeUInt16LE(Buffer.byteLength(name), 28);
    head.writeUInt32LE(at, 42);
    central.push(head, Buffer.from(name));
    const whole = [local, Buffer.from(name), Buffer.alloc(localExtra), packed];
    parts.push(...whole);
    at += Buffer.concat(whole).length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(at, 16);
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([...parts, directory, end, Buffer.from(comment)]);
}

function saved(zip: Buffer): string {
  const path = join(dir, `${crypto.randomUUID()}.jar`);
  writeFileSync(path, zip);
  return path;
}

const BINARY = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 31) % 251));

test('packed and plain files come out as they went in, whatever the headers and the comment hold', () => {
  const files: File[] = [
    { name: 'META-INF/', content: Buffer.alloc(0), method: 0 },
    { name: 'redis-server', content: BINARY, method: 8, localExtra: 28 },
    { name: 'plain', content: Buffer.from('as it is'), method: 0, localExtra: 4 },
  ];
  const entries = zipEntries(saved(writeZip(files, 'a comment')));
  expect(entries.map(({ name }) => name)).toEqual(['META-INF/', 'redis-server', 'plain']);
  expect(entries[1]?.read().equals(BINARY)).toBe(true);
  expect(entries[2]?.read().toString()).toBe('as it is');
});

test('a damaged file is refused, not unpacked', () => {
  const zip = writeZip([{ name: 'plain', content: Buffer.from('as it is'), method: 0 }]);
  zip[35] = (zip[35] as number) ^ 1;
  const [entry] = zipEntries(saved(zip));
  expect(() => entry?.read()).toThrow('plain: the zip file is damaged');
});

test('what is no zip file is called so', () => {
  expect(() => zipEntries(saved(Buffer.from('<html>not found</html>'.repeat(10))))).toThrow('not a zip file');
});
