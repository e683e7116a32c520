import { describe, expect, test } from 'bun:test';
import { fileOf, type Json, onlyOperator, problemsOf, SMPP, smppOperator } from './sample.ts';

const smpp = (changed: Json) => {
  const settings = onlyOperator(smppOperator({ smpp: { ...SMPP, ...changed } }));
  if (settings.connector !== 'smpp') throw new Error('not smpp');
  return settings.smpp;
};

describe('what is read', () => {
  test('by lane, or one for both', () => {
    expect(smpp({ priority: 2 }).priority).toEqual({ express: 2, normal: 2 });
    expect(smpp({ priority: { normal: 3 } }).priority).toEqual({ express: 1, normal: 3 });
    expect(smpp({ validity_period_s: { express: 300 } }).validityPeriodMs).toEqual({ express: 300_000, normal: 0 });
    expect(smpp({ validity_period_s: 60 }).validityPeriodMs).toEqual({ express: 60_000, normal: 60_000 });
  });

  test('TLS by one word or by what a private authority needs', () => {
    expect(smpp({ tls: false }).tls).toBeNull();
    expect(smpp({ tls: true }).tls).toEqual({ serverName: null, caFile: null });
    expect(smpp({ tls: { server_name: 'smpp.example', ca_file: '/etc/ca.pem' } }).tls).toEqual({
      serverName: 'smpp.example',
      caFile: '/etc/ca.pem',
    });
  });

  test('a sender at the operator: one for all, or by the sender of the message', () => {
    expect(smpp({}).sourceAddress).toEqual({});
    expect(smpp({ source_address: '982000' }).sourceAddress).toBe('982000');
    const lines = { Acme: '+982000', '983000': 'Acme', constructor: '982000' };
    expect(smpp({ source_address: lines }).sourceAddress).toEqual(lines);
  });

  test('type and plan of the source address by its form, or fixed', () => {
    expect(smpp({ source_ton: 'auto', source_npi: 'auto' })).toMatchObject({ sourceTon: null, sourceNpi: null });
    expect(smpp({ source_ton: 3, source_npi: 0 })).toMatchObject({ sourceTon: 3, sourceNpi: 0 });
  });

  test('a longer first wait for reconnecting moves the longest one along', () => {
    expect(smpp({ reconnect: { min_ms: 60_000 } }).reconnect).toEqual({ minMs: 60_000, maxMs: 60_000 });
    expect(smpp({ reconnect: { min_ms: 100, max_ms: 100 } }).reconnect).toEqual({ minMs: 100, maxMs: 100 });
  });

  test('hosts by name and by address', () => {
    for (const host of ['smsc.example', '10.0.0.1', '::1', 'localhost', 'fe80::1'])
      expect(smpp({ host }).host).toBe(host);
  });

  test('the name, the forms and the rest', () => {
    expect(
      smpp({
        bind: 'transmitter_receiver',
        receipt_id: { response: 'hex', receipt: 'decimal' },
        long_message: 'payload',
        default_alphabet: 'latin1',
        dest_format: 'national',
      }),
    ).toMatchObject({
      bind: 'transmitter_receiver',
      receiptId: { response: 'hex', receipt: 'decimal' },
      longMessage: 'payload',
      defaultAlphabet: 'latin1',
      destFormat: 'national',
    });
  });
});

const IDS = 'receipt_id: name the form of both, or of neither: a text and a number are never the same id';

const SENDER = 'must be 3 to 15 digits, with a + before them if wanted, or 1 to 11 letters and digits';

describe('what is refused', () => {
  for (const [changed, problem] of [
    [{ host: '' }, 'host: must be a host name or an address'],
    [{ host: 'smpp://h' }, 'host: must be a host name or an address'],
    [{ host: 'h:2775' }, 'host: must be a host name or an address'],
    [{ port: 0 }, 'port: must be a whole number from 1 to 65535'],
    [{ port: '2775' }, 'port: must be a whole number from 1 to 65535'],
    [{ system_id: '' }, 'system_id: must be 1 to 15 printable ASCII characters'],
    [{ system_id: 'sixteen-letters!' }, 'system_id: must be 1 to 15 printable ASCII characters'],
    [{ password: 'x'.repeat(65) }, 'password: must be 0 to 64 printable ASCII characters'],
    [{ password: 1234 }, 'password: must be 0 to 64 printable ASCII characters'],
    [{ system_type: 'x'.repeat(13) }, 'system_type: must be 0 to 12 printable ASCII characters'],
    [{ address_range: 'x'.repeat(41) }, 'address_range: must be 0 to 40 printable ASCII characters'],
    [{ service_type: 'sixsix' }, 'service_type: must be 0 to 5 printable ASCII characters'],
    [{ bind: 'transmitter' }, 'bind: must be one of transceiver, transmitter_receiver'],
    [{ binds: 0 }, 'binds: must be a whole number from 1 to 32'],
    [{ window: 1_001 }, 'window: must be a whole number from 1 to 1000'],
    [{ tls: 'yes' }, 'tls: must be true, false or an object'],
    [{ tls: { ca_file: 'ca.pem' } }, 'tls.ca_file: must be an absolute path'],
    [{ tls: { server_name: '' } }, 'tls.server_name: must be a host name or an address'],
    [{ tls: { insecure: true } }, 'tls.insecure: unknown setting'],
    [{ source_address: '' }, `source_address: ${SENDER}`],
    [{ source_address: '1'.repeat(16) }, `source_address: ${SENDER}`],
    [{ source_address: 'Twelve123456' }, `source_address: ${SENDER}`],
    [{ source_address: 982000 }, 'source_address: must be a sender, or an object of them'],
    [{ source_address: ['982000'] }, 'source_address: must be an object'],
    [{ source_address: { Acme: 982000 } }, `source_address.Acme: ${SENDER}`],
    [{ source_address: { Acme: 'فروشگاه' } }, `source_address.Acme: ${SENDER}`],
    [{ source_address: { 'the shop': '982000' } }, `source_address."the shop": ${SENDER}`],
    [{ source_ton: 7 }, 'source_ton: must be a whole number from 0 to 6'],
    [{ source_npi: 19 }, 'source_npi: must be a whole number from 0 to 18'],
    [{ dest_ton: 'auto' }, 'dest_ton: must be a whole number from 0 to 6'],
    [{ dest_npi: -1 }, 'dest_npi: must be a whole number from 0 to 18'],
    [{ dest_format: 'e164' }, 'dest_format: must be one of digits, plus, national'],
    [{ registered_delivery: 32 }, 'registered_delivery: must be a whole number from 0 to 31'],
    [{ registered_delivery: true }, 'registered_delivery: must be a whole number from 0 to 31'],
    [{ validity_period_s: 604_801 }, 'validity_period_s: must be a whole number from 0 to 604800'],
    [{ validity_period_s: { bulk: 1 } }, 'validity_period_s.bulk: unknown setting'],
    [{ priority: 4 }, 'priority: must be a whole number from 0 to 3'],
    [{ priority: { express: '1' } }, 'priority.express: must be a whole number from 0 to 3'],
    [{ default_alphabet: 'utf8' }, 'default_alphabet: must be one of gsm7, latin1, ascii'],
    [{ long_message: 'sar' }, 'long_message: must be one of udh8, udh16, payload'],
    [{ enquire_link_s: 0 }, 'enquire_link_s: must be a whole number from 1 to 3600'],
    [{ connect_timeout_ms: 99 }, 'connect_timeout_ms: must be a whole number from 100 to 120000'],
    [{ response_timeout_ms: 120_001 }, 'response_timeout_ms: must be a whole number from 100 to 120000'],
    [{ reconnect: 500 }, 'reconnect: must be an object'],
    [{ reconnect: { min_ms: 9 } }, 'reconnect.min_ms: must be a whole number from 10 to 600000'],
    [{ reconnect: { min_ms: 500, max_ms: 499 } }, 'reconnect: min_ms is more than max_ms'],
    [{ reconnect: { jitter: 1 } }, 'reconnect.jitter: unknown setting'],
    [{ receipt_id: 'hex' }, 'receipt_id: must be an object'],
    [
      { receipt_id: { response: 'octal', receipt: 'as_is' } },
      'receipt_id.response: must be one of as_is, hex, decimal',
    ],
    [{ receipt_id: { response: 'hex' } }, IDS],
    [{ receipt_id: { receipt: 'decimal' } }, IDS],
    [{ enquire_link_ms: 1 }, 'enquire_link_ms: unknown setting'],
  ] as const) {
    test(problem, () => {
      const file = fileOf({ A: smppOperator({ smpp: { ...SMPP, ...changed } }) });
      expect(problemsOf(file)).toEqual([`operators.A.smpp.${problem}`]);
    });
  }

  test('no address and no login', () => {
    expect(problemsOf(fileOf({ A: smppOperator({ smpp: {} }) }))).toEqual([
      'operators.A.smpp.host: is missing',
      'operators.A.smpp.system_id: is missing',
      'operators.A.smpp.password: is missing',
    ]);
    expect(problemsOf(fileOf({ A: smppOperator({ smpp: undefined }) }))).toEqual(['operators.A.smpp: is missing']);
  });
});
