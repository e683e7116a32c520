/**
 * What a service shows to others and asks of them: keys between services, certificates, logins of the servers below. Read once
 * at the start; none of it is ever part of a log line or of an error.
 */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { type Addresses, parseAddresses } from './addresses.ts';
import { type COMMON, ConfigError, choice, integer, secret, text, type Values } from './config.ts';
import { fetchTrusting } from './runtime.ts';

const ROOT = join(import.meta.dirname, '..');

/** PEM texts. */
export type Tls = { cert: string; key: string };

export type Credentials = {
  /** Every door asks for a key. */
  required: boolean;
  /** What services show each other: the first is shown, all are taken. Empty unless required. */
  internalKeys: readonly string[];
  /** For our own doors; null: they speak plainly. */
  tls: Tls | null;
  /** Authorities in PEM in place of the system's; null: the system's. */
  ca: string | null;
  trusted: Addresses | null;
};

type Common = Pick<
  Values<typeof COMMON>,
  'AUTH' | 'INTERNAL_KEY' | 'TRUSTED_PROXIES' | 'TLS_CERT_FILE' | 'TLS_KEY_FILE' | 'TLS_CA_FILE'
>;

const list = (csv: string): string[] =>
  csv
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/** Reads the files that the settings name; relative names are the repository's. Throws one ConfigError with every problem. */
export function readCredentials(config: Common): Credentials {
  const problems: string[] = [];
  const read = (name: 'TLS_CERT_FILE' | 'TLS_KEY_FILE' | 'TLS_CA_FILE'): string | null => {
    const pem = readPem(config[name]);
    if (pem.problem !== null) problems.push(`${name}: ${pem.problem}`);
    return pem.text;
  };
  const cert = read('TLS_CERT_FILE');
  const key = read('TLS_KEY_FILE');
  const ca = read('TLS_CA_FILE');
  const tls = cert !== null && key !== null ? { cert, key } : null;
  if (tls !== null && !belongTogether(tls))
    problems.push('TLS_CERT_FILE, TLS_KEY_FILE: the key is not the one of the certificate');
  const proxies = list(config.TRUSTED_PROXIES);
  const trusted = proxies.length === 0 ? null : parseAddresses(proxies);
  if (proxies.length > 0 && trusted === null)
    problems.push('TRUSTED_PROXIES: must be addresses or networks by comma, such as 10.0.0.0/8,127.0.0.1');
  if (problems.length > 0) throw new ConfigError(problems);
  const required = config.AUTH === 'required';
  return { required, internalKeys: required ? list(config.INTERNAL_KEY) : [], tls, ca, trusted };
}

/** A PEM file's text, or what is wrong with the file; null for both where none is named. */
function readPem(file: string): { text: string | null; problem: string | null } {
  if (file === '') return { text: null, problem: null };
  try {
    const text = readFileSync(isAbsolute(file) ? file : join(ROOT, file), 'utf8');
    if (/-----BEGIN [A-Z ]+-----/.test(text)) return { text, problem: null };
    return { text: null, problem: `${file} is not PEM` };
  } catch (thrown) {
    return { text: null, problem: `${file} cannot be read (${(thrown as NodeJS.ErrnoException).code})` };
  }
}

/** TLS_CA_FILE alone, for commands. Throws a ConfigError. */
export function readAuthority(file: string): string | null {
  const { text: pem, problem } = readPem(file);
  if (problem !== null) throw new ConfigError([`TLS_CA_FILE: ${problem}`]);
  return pem;
}

function belongTogether({ cert, key }: Tls): boolean {
  const spki = (publicKey: KeyObject): string => publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  try {
    return spki(new X509Certificate(cert).publicKey) === spki(createPublicKey(createPrivateKey(key)));
  } catch {
    return false;
  }
}

export type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

/** Calls to another service's HTTP door: with our key where keys are required, and trusting our authorities. */
export function internalFetch({ internalKeys: [key], ca }: Pick<Credentials, 'internalKeys' | 'ca'>): Fetch {
  const trusting = ca === null ? fetch : fetchTrusting(ca);
  if (key === undefined) return trusting;
  return (url, init = {}) => {
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${key}`);
    return trusting(url, { ...init, headers });
  };
}

/** How the brokers are reached and what our topics are like; every service has these settings. */
export const KAFKA_SETTINGS = {
  KAFKA_BROKERS: text('127.0.0.1:9092', 'Kafka, host:port by comma'),
  KAFKA_REPLICATION: integer(1, 1, 9, 'copies of each topic that a service creates'),
  KAFKA_RETENTION_DAYS: integer(
    7,
    4,
    365,
    'days that topics keep records: more than the longest validity of a message, 3 days, or Kafka drops what still waits',
  ),
  KAFKA_TLS: choice('off', ['off', 'on'], 'on: the brokers are spoken to by TLS'),
  KAFKA_SASL: choice(
    'off',
    ['off', 'plain', 'scram-sha-256', 'scram-sha-512'],
    'how we log in to the brokers; plain only together with KAFKA_TLS',
  ),
  KAFKA_USERNAME: text('', 'our name at the brokers'),
  KAFKA_PASSWORD: secret('our password at the brokers'),
} as const;

export type KafkaSecurity = {
  ssl?: true | { ca: string[] };
  sasl?: { mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; username: string; password: string };
};

/** Throws a ConfigError when half of a login is missing, or when a password would travel in the clear. */
export function kafkaSecurity(config: Values<typeof KAFKA_SETTINGS>, ca: string | null): KafkaSecurity {
  const { KAFKA_TLS, KAFKA_SASL, KAFKA_USERNAME: username, KAFKA_PASSWORD: password } = config;
  const problems: string[] = [];
  if (KAFKA_SASL !== 'off' && (username === '' || password === ''))
    problems.push('KAFKA_USERNAME, KAFKA_PASSWORD: KAFKA_SASL needs both');
  if (KAFKA_SASL === 'plain' && KAFKA_TLS === 'off')
    problems.push('KAFKA_SASL: plain sends the password in the clear, so it needs KAFKA_TLS=on; scram does not');
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    ...(KAFKA_TLS === 'on' ? { ssl: ca === null ? (true as const) : { ca: [ca] } } : {}),
    ...(KAFKA_SASL === 'off' ? {} : { sasl: { mechanism: KAFKA_SASL, username, password } }),
  };
}
