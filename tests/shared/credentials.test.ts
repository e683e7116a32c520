import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { settings as billing } from '../../billing/config.ts';
import { settings as dispatcher } from '../../dispatcher/config.ts';
import { settings as gateway } from '../../gateway/config.ts';
import { settings as report } from '../../report/config.ts';
import { COMMON, type ConfigError, readSettings, type Settings } from '../../shared/config.ts';
import { KAFKA_SETTINGS, kafkaSecurity, readAuthority, readCredentials } from '../../shared/credentials.ts';
import { TEST_CERTIFICATE, TEST_KEY } from '../simulator/certificate.ts';

const SERVICES = { billing, gateway, dispatcher, report };
const INTERNAL_KEY = 'a1_-'.repeat(8);

const problemsOf = (read: () => unknown): readonly string[] => {
  try {
    read();
    return [];
  } catch (thrown) {
    return (thrown as ConfigError).problems;
  }
};

test.each(Object.entries<Settings>(SERVICES))(
  '%s listens beyond the loopback only where keys are required',
  (_, table) => {
    expect(problemsOf(() => readSettings(table, { HOST: '0.0.0.0' }))).toEqual([
      'HOST: 0.0.0.0 is not the loopback; without keys anybody who reaches it could send and spend, so it is refused; set AUTH=required, or listen on 127.0.0.1',
    ]);
    const env = { HOST: '0.0.0.0', AUTH: 'required', INTERNAL_KEY };
    expect(readSettings(table, env)).toMatchObject({ HOST: '0.0.0.0', AUTH: 'required' });
    expect(problemsOf(() => readSettings(table, { ...env, AUTH: 'off' }))).toHaveLength(1);
  },
);

test('a program that knows no keys, such as the simulator, stays on the loopback', () => {
  const { HOST } = COMMON;
  expect(problemsOf(() => readSettings({ HOST }, { HOST: '0.0.0.0', AUTH: 'required' }))).toEqual([
    'HOST: 0.0.0.0 is not the loopback; without keys anybody who reaches it could send and spend, so it is refused',
  ]);
});

test.each([
  '',
  'short',
  'x'.repeat(31),
  'x'.repeat(201),
  `${'x'.repeat(31)} `,
  `${'x'.repeat(32)},short`,
  'ü'.repeat(40),
])('AUTH=required does not begin with %p between the services, and the refusal does not repeat it', (key) => {
  const problems = problemsOf(() => readSettings(COMMON, { AUTH: 'required', INTERNAL_KEY: key }));
  expect(problems).toHaveLength(1);
  expect(problems[0]).toStartWith('INTERNAL_KEY: AUTH=required needs one');
  if (key !== '') expect(problems[0]).not.toContain(key);
});

test('of two keys between the services the first is shown and both are taken; none where nobody asks', () => {
  const second = 'b'.repeat(40);
  const env = { AUTH: 'required', INTERNAL_KEY: `${INTERNAL_KEY},${second}` };
  expect(readCredentials(readSettings(COMMON, env)).internalKeys).toEqual([INTERNAL_KEY, second]);
  expect(readCredentials(readSettings(COMMON, { INTERNAL_KEY })).internalKeys).toEqual([]);
});

const dir = mkdtempSync(join(tmpdir(), 'jsms-credentials-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const file = (name: string, content: string): string => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};
const cert = file('cert.pem', TEST_CERTIFICATE);
const key = file('key.pem', TEST_KEY);
const OTHER_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgdBSazDphVWjNgWsa
n6I9qfAs2EEF7Tpl6JOSfCYL246hRANCAAQaSOUOoIknrtCtIQE8PLQEyehbJ2zu
eS8QslYgoN0A2WsaxtBGydv6totc8aebldW0SvSWDRO8KNtGHSPIEX7E
-----END PRIVATE KEY-----`;

test('a certificate and its key are read; without them the doors speak plainly', () => {
  const read = (env: Record<string, string>) => readCredentials(readSettings(COMMON, env));
  expect(read({}).tls).toBeNull();
  expect(read({}).ca).toBeNull();
  expect(read({ TLS_CERT_FILE: cert, TLS_KEY_FILE: key }).tls).toEqual({ cert: TEST_CERTIFICATE, key: TEST_KEY });
  expect(read({ TLS_CA_FILE: cert }).ca).toBe(TEST_CERTIFICATE);
  expect(readAuthority(cert)).toBe(TEST_CERTIFICATE);
});

test.each<[string, Record<string, string>, string]>([
  ['a certificate without its key', { TLS_CERT_FILE: cert }, 'TLS_CERT_FILE, TLS_KEY_FILE: TLS needs both, or neither'],
  ['a file that is not there', { TLS_CERT_FILE: join(dir, 'none.pem'), TLS_KEY_FILE: key }, 'cannot be read (ENOENT)'],
  ['a file that is no PEM', { TLS_CA_FILE: file('word.pem', 'sesame') }, 'word.pem is not PEM'],
  [
    'the key of another certificate',
    { TLS_CERT_FILE: cert, TLS_KEY_FILE: file('other.pem', OTHER_KEY) },
    'the key is not the one of the certificate',
  ],
  ['a network that is none', { TRUSTED_PROXIES: '10.0.0.0/64' }, 'TRUSTED_PROXIES: must be addresses or networks'],
])('%s ends the start with a sentence, and nothing of the files is said', (_, env, sentence) => {
  const problems = problemsOf(() => readCredentials(readSettings(COMMON, env)));
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(sentence);
  expect(problems[0]).not.toMatch(/sesame|PRIVATE|MIGH/);
});

const kafka = (env: Record<string, string>, ca: string | null = null) =>
  kafkaSecurity(readSettings(KAFKA_SETTINGS, env), ca);
const login = { KAFKA_USERNAME: 'jsms', KAFKA_PASSWORD: 'sesame' };

test('Kafka is reached plainly, by TLS, or with a login', () => {
  expect(kafka({})).toEqual({});
  expect(kafka({ KAFKA_TLS: 'on' })).toEqual({ ssl: true });
  expect(kafka({ KAFKA_TLS: 'on' }, 'PEM')).toEqual({ ssl: { ca: ['PEM'] } });
  expect(kafka({ KAFKA_SASL: 'scram-sha-512', ...login })).toEqual({
    sasl: { mechanism: 'scram-sha-512', username: 'jsms', password: 'sesame' },
  });
});

test.each<[string, Record<string, string>]>([
  ['half a login', { KAFKA_SASL: 'scram-sha-256', KAFKA_USERNAME: 'jsms' }],
  ['a password in the clear', { KAFKA_SASL: 'plain', ...login }],
])('%s at Kafka ends the start with a sentence that does not repeat it', (_, env) => {
  const problems = problemsOf(() => kafka(env));
  expect(problems).toHaveLength(1);
  expect(problems[0]).not.toContain('sesame');
});

test.each<[string, Settings, string]>([
  ['REDIS_URL', gateway, 'redis://:sesame@ho st'],
  ['REDIS_URL', billing, 'http://:sesame@host'],
  ['REDIS_URL', dispatcher, ':sesame@host:6379'],
  ['DATABASE_URL', report, 'postgres://jsms:sesame@ho st/jsms'],
  ['DATABASE_URL', report, 'mysql://jsms:sesame@host/jsms'],
  ['GATEWAY_URL', report, 'ftp://sesame@host'],
  ['REPORT_URL', billing, 'sesame'],
])('%s is refused when it is none, without being repeated', (name, table, value) => {
  const problems = problemsOf(() => readSettings(table, { [name]: value }));
  expect(problems).toHaveLength(1);
  expect(problems[0]).toStartWith(`${name}: must be a URL that begins with `);
  expect(problems[0]).not.toContain('sesame');
});

test('every service has the same settings for keys, TLS and Kafka', () => {
  for (const table of Object.values(SERVICES)) {
    for (const [name, setting] of Object.entries({ ...COMMON, ...KAFKA_SETTINGS }))
      expect((table as Settings)[name]).toBe(setting as Settings[string]);
  }
});
