/**
 * What the campaign attacks: the four services as processes of their own on a Kafka, Redis and PostgreSQL of their own, the
 * operators' simulator in this process, and a proxy on every way between them.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownIdentity } from '../../../local/pid-file.ts';
import { ROOT } from '../../../local/places.ts';
import { freePort } from '../../../local/ports.ts';
import { endWithProcess, temporaryDir } from '../../../local/servers/all.ts';
import { startKafka } from '../../../local/servers/kafka.ts';
import { startPostgres } from '../../../local/servers/postgres.ts';
import { startRedis } from '../../../local/servers/redis.ts';
import { type LocalServer, lastWords, startServer } from '../../../local/servers/server-process.ts';
import { type Simulator, start as startSimulator } from '../../../simulator/index.ts';
import { operatorsSpec } from '../../support/operators-file.ts';
import { type FaultyProxy, startProxy } from '../../support/proxy.ts';
import { createUnit, type Unit } from './unit.ts';

export const SERVICES = ['billing', 'gateway', 'dispatcher', 'report'] as const;
export const SERVERS = ['kafka', 'redis', 'postgres'] as const;
export const LINKS = ['kafka', 'redis', 'postgres', 'grpc', 'smpp', 'http'] as const;
export type ServiceName = (typeof SERVICES)[number];
export type ServerName = (typeof SERVERS)[number];
export type LinkName = (typeof LINKS)[number];
type Env = Record<string, string>;

/** What follows a lost answer at each operator, and the link to it. */
export const OPERATORS = {
  MCI: { policy: 'wait', link: 'smpp', prefix: '912' },
  MTN: { policy: 'resend', link: 'http', prefix: '935' },
  Rightel: { policy: 'wait', link: 'http', prefix: '920' },
} as const;
export type OperatorName = keyof typeof OPERATORS;
export const WINDOW = 64;

/** A replica of a service, beside the first one. */
export type Replica = { readonly url: string; leave(how: 'kill' | 'stop'): Promise<void> };

export type World = {
  readonly dir: string;
  readonly simulator: Simulator;
  readonly services: Readonly<Record<ServiceName, Unit>>;
  readonly servers: Readonly<Record<ServerName, Unit>>;
  readonly links: Readonly<Record<LinkName, FaultyProxy>>;
  readonly urls: Readonly<Record<ServiceName, string>>;
  /** Where clients may send: the gateway and its replica, while there is one. */
  readonly gateways: readonly string[];
  /** Past the proxies: for asking, whatever is being done to them. */
  readonly direct: { redisUrl: string; databaseUrl: string; kafkaBrokers: string };
  replicate(service: ServiceName): Promise<Replica>;
  /** The end of what a service wrote. */
  wordsOf(service: ServiceName): string;
};

const READY_WITHIN_MS = 90_000;
const GRACE_MS = 17_000;
const CLOCK = join(import.meta.dirname, 'clock-jump.ts');
const RECORDS_MAX = 1_000_000;

/** Short waits, so that what takes minutes in earnest takes seconds here; the breaker as in earnest. */
const SETTINGS: Env = {
  HOST: '127.0.0.1',
  RETRY_WAITS_S: '0.5,1,2',
  SWEEP_EVERY_MS: '200',
  DEPENDENCY_WAIT_S: '60',
  KAFKA_SESSION_MS: '6000',
  OUTBOX_MAX: '50000',
};

function writeOperators(file: string, httpPort: number, smppPort: number): void {
  const patches = Object.fromEntries(
    Object.entries(OPERATORS).map(([name, { policy, link }]) => [
      name,
      {
        connector: link,
        on_unknown: policy,
        unknown_wait_s: 2,
        breaker: { failures: 20, open_s: 1, half_open_probes: 3 },
        // The operators live in a busy process: an answer must not count as lost for being late.
        ...(link === 'smpp'
          ? { smpp: { window: WINDOW, connect_timeout_ms: 4_000, response_timeout_ms: 4_000 } }
          : { http: { window: WINDOW, timeout_ms: 4_000 } }),
      },
    ]),
  );
  writeFileSync(file, JSON.stringify(operatorsSpec(`http://127.0.0.1:${httpPort}`, patches, smppPort), null, 2));
}

/** Operators as they are between two faults; all of them when none is named. */
export function calmOperators(simulator: Simulator, ...only: readonly OperatorName[]): void {
  const names = only.length > 0 ? only.map((name) => name.toLowerCase()) : simulator.names;
  for (const name of names) {
    const receipts = name === 'mci' ? { mode: 'deliver' as const, delay_ms: 100, share_missing: 0.5 } : {};
    simulator.dials(name, {
      rules: [],
      throttle_tps: 0,
      freeze: false,
      accept_connections: true,
      drop_after_n: 0,
      dedupe: name === 'mtn',
      latency_ms: 5,
      latency_jitter_ms: 10,
      receipts,
    });
  }
}

const isReady = (url: string): Promise<boolean> =>
  fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2_000) }).then(
    ({ status }) => status === 200,
    () => false,
  );

type Opened = { services: Record<ServiceName, Unit>; servers: Record<ServerName, Unit> };

/** Starts everything in a temporary folder; what was started ends with this process, even by SIGKILL. */
export async function openWorld(say: (line: string) => void, defer: (cleanUp: () => unknown) => void): Promise<World> {
  const dir = temporaryDir();
  endWithProcess(dir);
  defer(() => rmSync(dir, { recursive: true, force: true }));
  const owner = ownIdentity();
  const simulator = await startSimulator({ httpPort: 0, smppPort: 0, recordsMax: RECORDS_MAX });
  defer(() => simulator.close());
  calmOperators(simulator);

  const ports = {
    kafka: await freePort(),
    redis: await freePort(),
    postgres: await freePort(),
    billing: await freePort(),
    grpc: await freePort(),
    gateway: await freePort(),
    dispatcher: await freePort(),
    report: await freePort(),
  };
  /** Connections to billing go to the one and its replica in turn. */
  const billings = [ports.grpc];
  let turn = 0;
  const links: Record<LinkName, FaultyProxy> = {
    kafka: await startProxy(ports.kafka),
    redis: await startProxy(ports.redis),
    postgres: await startProxy(ports.postgres),
    grpc: await startProxy(() => billings[turn++ % billings.length] as number),
    smpp: await startProxy(simulator.smppPort),
    http: await startProxy(simulator.httpPort),
  };
  for (const link of Object.values(links)) defer(() => link.close());

  say('Starting Kafka, Redis and PostgreSQL …');
  /** The first start makes the server; from then on it is started again with its data. */
  const serverUnit = (name: ServerName, open: () => Promise<LocalServer>): Unit => {
    let server: LocalServer | null = null;
    return createUnit(name, async () => {
      if (server === null) server = await open();
      else await server.restart();
      return server;
    });
  };
  const servers: Opened['servers'] = {
    kafka: serverUnit('kafka', () =>
      startKafka({ dir, owner, port: ports.kafka, advertisedPort: links.kafka.port, heapMb: 512 }),
    ),
    redis: serverUnit('redis', () => startRedis({ dir, owner, port: ports.redis })),
    postgres: serverUnit('postgres', () => startPostgres({ dir, owner, port: ports.postgres })),
  };
  for (const server of Object.values(servers)) defer(() => server.kill());
  await Promise.all(Object.values(servers).map((server) => server.start()));

  const operatorsFile = join(dir, 'operator.json');
  writeOperators(operatorsFile, links.http.port, links.smpp.port);
  const urls = Object.fromEntries(SERVICES.map((name) => [name, `http://127.0.0.1:${ports[name]}`])) as World['urls'];
  const settings: Env = {
    ...Object.fromEntries(
      ['PATH', 'HOME', 'TMPDIR', 'LANG'].flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
    ),
    ...SETTINGS,
    BILLING_HTTP_PORT: String(ports.billing),
    BILLING_GRPC_PORT: String(ports.grpc),
    BILLING_GRPC_URL: `127.0.0.1:${links.grpc.port}`,
    GATEWAY_HTTP_PORT: String(ports.gateway),
    GATEWAY_URL: urls.gateway,
    DISPATCHER_HTTP_PORT: String(ports.dispatcher),
    REPORT_HTTP_PORT: String(ports.report),
    REPORT_URL: urls.report,
    KAFKA_BROKERS: `127.0.0.1:${links.kafka.port}`,
    REDIS_URL: `redis://127.0.0.1:${links.redis.port}`,
    DATABASE_URL: `postgres://jsms:jsms@127.0.0.1:${links.postgres.port}/jsms`,
    OPERATORS_FILE: operatorsFile,
    DATA_DIR: join(dir, 'services'),
  };
  mkdirSync(settings.DATA_DIR as string, { recursive: true });

  const launch = (name: string, service: ServiceName, port: number, own: Env): Promise<LocalServer> => {
    const url = `http://127.0.0.1:${port}`;
    const preload = own.CLOCK_JUMP_FILE === undefined ? [] : ['--preload', CLOCK];
    return startServer({
      name,
      dir,
      address: url,
      port,
      rank: 20,
      launch: {
        command: process.execPath,
        args: [...preload, 'index.ts'],
        cwd: join(ROOT, service),
        env: { ...settings, ...own },
      },
      answers: () => isReady(url),
      stopSignal: 'SIGTERM',
      graceMs: GRACE_MS,
      readyWithinMs: READY_WITHIN_MS,
      owner,
    });
  };
  const services = Object.fromEntries(
    SERVICES.map((name) => [name, createUnit(name, (env) => launch(name, name, ports[name], env))]),
  ) as Opened['services'];
  for (const service of Object.values(services)) defer(() => service.kill());
  say('Starting the services …');
  await services.billing.start();
  await Promise.all([services.gateway.start(), services.dispatcher.start(), services.report.start()]);

  const gateways = [urls.gateway];
  let replicas = 0;
  const replicate = async (service: ServiceName): Promise<Replica> => {
    const port = await freePort();
    const grpcPort = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const own: Env = { [`${service.toUpperCase()}_HTTP_PORT`]: String(port), BILLING_GRPC_PORT: String(grpcPort) };
    // Only billing opens a gRPC door; the others find it by its address.
    const server = await launch(`${service}-${++replicas}`, service, port, own);
    if (service === 'gateway') gateways.push(url);
    if (service === 'billing') billings.push(grpcPort);
    const without = <T>(list: T[], one: T): void => void list.splice(list.indexOf(one) >>> 0, 1);
    return {
      url,
      leave: async (how) => {
        if (service === 'gateway') without(gateways, url);
        if (service === 'billing') without(billings, grpcPort);
        await server[how]();
      },
    };
  };
  return {
    dir,
    simulator,
    services,
    servers,
    links,
    urls,
    gateways,
    direct: {
      redisUrl: `redis://127.0.0.1:${ports.redis}`,
      databaseUrl: `postgres://jsms:jsms@127.0.0.1:${ports.postgres}/jsms`,
      kafkaBrokers: settings.KAFKA_BROKERS as string,
    },
    replicate,
    wordsOf: (service) => lastWords(join(dir, 'logs', `${service}.log`)),
  };
}
