/** Real Kafka, Redis and PostgreSQL that ask for a login and speak TLS, reached as the services reach them. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { execFile } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ownIdentity } from '../../local/pid-file.ts';
import { jarsFolder, ROOT } from '../../local/places.ts';
import { freePort } from '../../local/ports.ts';
import { endWithProcess, temporaryDir } from '../../local/servers/all.ts';
import { startKafka } from '../../local/servers/kafka.ts';
import { startPostgres } from '../../local/servers/postgres.ts';
import { startRedis } from '../../local/servers/redis.ts';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { ConfigError, readSettings } from '../../shared/config.ts';
import { KAFKA_SETTINGS, kafkaSecurity } from '../../shared/credentials.ts';
import { connectKafka } from '../../shared/kafka.ts';
import { createLog } from '../../shared/log.ts';
import { closePostgres, connectPostgres, readSslMode } from '../../shared/postgres.ts';
import { connectRedis, requireDurable } from '../../shared/redis.ts';
import { openTlsFront, type TlsFront } from '../../shared/tls-front.ts';
import { TOPICS } from '../../shared/topics.ts';
import { AUTHORITY, OWN, STRANGER } from '../support/certificates.ts';
import { until } from '../support/poll.ts';

const run = promisify(execFile);
const PASSWORD = 'offne-dich-sesam';
setDefaultTimeout(120_000);
const dir = temporaryDir();
endWithProcess(dir);
const lines: string[] = [];
const log = createLog('test', 'debug', (line) => lines.push(line));
const servers: LocalServer[] = [];
const fronts: TlsFront[] = [];
afterAll(async () => {
  for (const front of fronts) front.close();
  await Promise.all(servers.map((server) => server.kill()));
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

const said = async (work: () => Promise<unknown>): Promise<Error> => {
  const outcome = await work().then(
    () => new Error('it went well'),
    (thrown: Error) => thrown,
  );
  expect(JSON.stringify([outcome.message, (outcome as ConfigError).problems, lines])).not.toContain(PASSWORD);
  return outcome;
};

/** Starts a service that cannot begin, from its own folder, and answers everything it printed. */
async function printedBy(service: string, env: Record<string, string>): Promise<string> {
  const settings = { PATH: process.env.PATH ?? '', HOME: dir, DEPENDENCY_WAIT_S: '5', LOG_LEVEL: 'debug', ...env };
  const started = await run(process.execPath, ['run', 'index.ts'], { cwd: join(ROOT, service), env: settings }).then(
    () => null,
    (failed: { code: number; stdout: string; stderr: string }) => failed,
  );
  expect(started?.code).toBe(1);
  return `${started?.stderr}${started?.stdout}`;
}

describe('Redis', () => {
  let server: LocalServer;
  /** Redis behind TLS, with each certificate. */
  let secure: TlsFront;
  let strange: TlsFront;
  beforeAll(async () => {
    server = await startRedis({ dir, password: PASSWORD, owner: ownIdentity() });
    servers.push(server);
    secure = await openTlsFront(OWN, '127.0.0.1', 0, server.port, []);
    strange = await openTlsFront(STRANGER, '127.0.0.1', 0, server.port, []);
    fronts.push(secure, strange);
  }, 120_000);

  const reach = async (url: string, ca: string | null = AUTHORITY): Promise<string> => {
    const redis = connectRedis(url, log, ca);
    try {
      await requireDurable(redis);
      return await redis.ping();
    } finally {
      redis.disconnect();
    }
  };

  test('is reached with its password, plainly and by TLS', async () => {
    expect(await reach(`redis://:${PASSWORD}@127.0.0.1:${server.port}`)).toBe('PONG');
    expect(await reach(`rediss://:${PASSWORD}@127.0.0.1:${secure.port}`)).toBe('PONG');
    expect(await reach(`rediss://default:${PASSWORD}@localhost:${secure.port}`)).toBe('PONG');
  });

  test('is not reached by TLS where the authority does not vouch for it, or for another host', async () => {
    expect((await said(() => reach(`rediss://:${PASSWORD}@127.0.0.1:${secure.port}`, null))).message).not.toBe(
      'it went well',
    );
    expect((await said(() => reach(`rediss://:${PASSWORD}@127.0.0.1:${strange.port}`))).message).not.toBe(
      'it went well',
    );
  });

  test('refuses a wrong password in a sentence that shows none', async () => {
    const refused = await said(() => reach(`redis://:wrong-${PASSWORD}@127.0.0.1:${server.port}`));
    expect(refused.message).toContain('REDIS_URL');
  });

  test.each(['billing', 'gateway'])(
    '%s does not start with a wrong password, and prints it nowhere',
    async (service) => {
      const printed = await printedBy(service, { REDIS_URL: `redis://:wrong-${PASSWORD}@127.0.0.1:${server.port}` });
      expect(printed).toContain('Redis wants another password: REDIS_URL names it');
      expect(printed).not.toContain(PASSWORD);
    },
  );
});

describe('PostgreSQL', () => {
  let server: LocalServer;
  let authority: string;
  beforeAll(async () => {
    server = await startPostgres({ dir, password: PASSWORD, owner: ownIdentity() });
    servers.push(server);
    authority = join(dir, 'authority.pem');
    writeFileSync(authority, AUTHORITY);
    const sql = connectPostgres(server.address, { name: 'test', max: 1, statementTimeoutMs: 10_000 });
    // Written by the server itself, which wants the key to be its own and nobody else's.
    for (const [name, pem] of [
      ['own.crt', OWN.cert],
      ['own.key', OWN.key],
    ] as const) {
      const rows = pem.split('\n').map((line) => `('${line}')`);
      await sql.unsafe(`COPY (SELECT * FROM (VALUES ${rows.join(',')}) AS pem) TO PROGRAM 'umask 077; cat > ${name}'`);
    }
    for (const [name, value] of [
      ['ssl_cert_file', 'own.crt'],
      ['ssl_key_file', 'own.key'],
      ['ssl', 'on'],
    ])
      await sql.unsafe(`ALTER SYSTEM SET ${name} = '${value}'`);
    await sql`SELECT pg_reload_conf()`;
    await closePostgres(sql);
  }, 120_000);

  const reach = async (query: string, host = '127.0.0.1'): Promise<boolean> => {
    const url = `${server.address.replace('127.0.0.1', host)}?${query}`;
    const sql = connectPostgres(url, { name: 'test', max: 1, statementTimeoutMs: 10_000 });
    try {
      const [row] = await sql<{ ssl: boolean }[]>`SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`;
      return row?.ssl ?? false;
    } finally {
      await closePostgres(sql);
    }
  };

  test('is reached plainly without sslmode, and by TLS with each that asks for it', async () => {
    expect(await reach('')).toBe(false);
    expect(await reach('sslmode=disable')).toBe(false);
    for (const mode of ['prefer', 'require']) expect(`${mode} ${await reach(`sslmode=${mode}`)}`).toBe(`${mode} true`);
    for (const mode of ['require', 'verify-ca', 'verify-full']) {
      for (const host of ['127.0.0.1', 'localhost'])
        expect(`${mode} ${await reach(`sslmode=${mode}&sslrootcert=${authority}`, host)}`).toBe(`${mode} true`);
    }
  });

  test('is not reached where nobody vouches for it', async () => {
    const stranger = join(dir, 'stranger.pem');
    writeFileSync(stranger, STRANGER.cert);
    for (const query of ['sslmode=verify-full', 'sslmode=verify-ca', `sslmode=verify-ca&sslrootcert=${stranger}`])
      expect(`${query}: ${(await said(() => reach(query))).message}`).toMatch(/certificate|CERT|issuer/i);
  });

  test('is held to its name by verify-full alone', async () => {
    const sql = connectPostgres(server.address, { name: 'test', max: 1, statementTimeoutMs: 10_000 });
    const rows = (pem: string): string =>
      pem
        .split('\n')
        .map((line) => `('${line}')`)
        .join(',');
    for (const [name, pem] of [
      ['own.crt', STRANGER.cert],
      ['own.key', STRANGER.key],
    ] as const)
      await sql.unsafe(`COPY (SELECT * FROM (VALUES ${rows(pem)}) AS pem) TO PROGRAM 'umask 077; cat > ${name}'`);
    await sql`SELECT pg_reload_conf()`;
    await closePostgres(sql);
    expect(await reach(`sslmode=verify-ca&sslrootcert=${authority}`)).toBe(true);
    const refused = await said(() => reach(`sslmode=verify-full&sslrootcert=${authority}`));
    expect(refused.message).toMatch(/altnames|identity|does not match|hostname/i);
  });

  test('refuses a wrong password without showing it', async () => {
    const url = server.address.replace(PASSWORD, `wrong-${PASSWORD}`);
    const refused = await said(async () => {
      const sql = connectPostgres(url, { name: 'test', max: 1, statementTimeoutMs: 10_000 });
      await sql`SELECT 1`.finally(() => closePostgres(sql));
    });
    expect(refused.message).toContain('password authentication failed');
    const printed = await printedBy('report', { DATABASE_URL: url });
    expect(printed).toContain('refuses its user or password');
    expect(printed).not.toContain(PASSWORD);
  });

  test('a mode that is none, or an authority that is not there, is a sentence without the URL', () => {
    for (const query of ['sslmode=always', 'sslmode=verify-full&sslrootcert=/nowhere.pem']) {
      const read = (): unknown => readSslMode(`postgres://jsms:${PASSWORD}@h/jsms?${query}`);
      expect(read).toThrow(ConfigError);
      expect(read).not.toThrow(PASSWORD);
    }
  });

  test('neither sslmode nor sslrootcert travels to the server, everything else does', () => {
    const { address } = readSslMode('postgres://u:p@h:1/d?sslmode=require&application_name=x');
    expect(address).toBe('postgres://u:p@h:1/d?application_name=x');
    expect(readSslMode('postgres://u:p@h:1/d')).toEqual({ address: 'postgres://u:p@h:1/d', ssl: null });
  });
});

describe('Kafka', () => {
  let byTls: string;
  let byScram: string;
  beforeAll(async () => {
    const server = await startKafka({ dir, heapMb: 320, owner: ownIdentity() });
    servers.push(server);
    const home = join(dir, 'kafka');
    const file = join(home, 'server.properties');
    const pem = join(home, 'own.pem');
    writeFileSync(pem, `${OWN.key}\n${OWN.cert}\n`);
    byTls = `127.0.0.1:${await freePort()}`;
    byScram = `127.0.0.1:${await freePort()}`;
    const module = (name: string, rest = ''): string => `org.apache.kafka.common.security.${name} required${rest};`;
    const more = `,SASL_SSL://${byTls},SASL_PLAINTEXT://${byScram}`;
    const properties = readFileSync(file, 'utf8').replace(/^(advertised\.listeners=.*)$/m, `$1${more}`);
    writeFileSync(file, properties.replace(/^(listeners=PLAINTEXT[^,]*)(,.*)$/m, `$1${more}$2`));
    appendFileSync(
      file,
      [
        'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT',
        'listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN',
        `listener.name.sasl_ssl.plain.sasl.jaas.config=${module('plain.PlainLoginModule', ` user_jsms="${PASSWORD}"`)}`,
        'listener.name.sasl_plaintext.sasl.enabled.mechanisms=SCRAM-SHA-256',
        `listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=${module('scram.ScramLoginModule')}`,
        'ssl.keystore.type=PEM',
        `ssl.keystore.location=${pem}`,
        '',
      ].join('\n'),
    );
    await server.restart();
    mkdirSync(join(home, 'tool'), { recursive: true });
    await run('java', [
      '-XX:TieredStopAtLevel=1',
      '-cp',
      join(jarsFolder(dir), '*'),
      'kafka.admin.ConfigCommand',
      ...['--bootstrap-server', server.address, '--alter', '--entity-type', 'users', '--entity-name', 'jsms'],
      ...['--add-config', `SCRAM-SHA-256=[iterations=4096,password=${PASSWORD}]`],
    ]);
  }, 240_000);

  const reach = async (broker: string, env: Record<string, string>, ca: string | null = AUTHORITY): Promise<string> => {
    const login = { KAFKA_USERNAME: 'jsms', KAFKA_PASSWORD: PASSWORD, ...env };
    const security = kafkaSecurity(readSettings(KAFKA_SETTINGS, login), ca);
    const kafka = connectKafka({ brokers: [broker], clientId: 'jsms-test', log, security });
    try {
      await kafka.ensureTopics({ replication: 1, retentionMs: 86_400_000 });
      const producer = await kafka.producer();
      // A fresh topic's leader takes a moment on a busy machine.
      await until('the broker takes it', () =>
        producer.send({ topic: TOPICS.status, value: 'hello' }).then(() => true),
      );
      await producer.close();
      return 'sent';
    } finally {
      await kafka.close();
    }
  };

  test('takes records over TLS with a name and a password, and with SCRAM', async () => {
    expect(await reach(byTls, { KAFKA_TLS: 'on', KAFKA_SASL: 'plain' })).toBe('sent');
    expect(await reach(byScram, { KAFKA_SASL: 'scram-sha-256' })).toBe('sent');
  });

  test('a wrong password ends the start at once, in a sentence that shows none', async () => {
    for (const [broker, env] of [
      [byTls, { KAFKA_TLS: 'on', KAFKA_SASL: 'plain' }],
      [byScram, { KAFKA_SASL: 'scram-sha-256' }],
    ] as const) {
      const refused = await said(() => reach(broker, { ...env, KAFKA_PASSWORD: `wrong-${PASSWORD}` }));
      expect(refused).toBeInstanceOf(ConfigError);
      expect(refused.message).toBe('KAFKA_USERNAME, KAFKA_PASSWORD: the brokers refuse this login');
    }
  });

  test('a broker that nobody vouches for is not told the password', async () => {
    const refused = await said(() => reach(byTls, { KAFKA_TLS: 'on', KAFKA_SASL: 'plain' }, null));
    expect(refused.message).toMatch(/certificate|verify|issuer/i);
  });
});
