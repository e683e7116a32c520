/**
 * What the campaign attacks: the four services as processes of their own on a Kafka, Redis and PostgreSQL of their own, the
 * operators' simulator in this process, and a proxy on every way between them.
 */
import { mkdirSync, rmSync } from 'node:fs';
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
import { type FaultyProxy, startProxy } from '../../support/proxy.ts';
import { SHARD_COUNT } from '../../support/shards.ts';
import { calmOperators, writeOperators } from './operators.ts';
import { createUnit, type Unit } from './unit.ts';

export const SERVICES = ['billing', 'gateway', 'dispatcher', 'report'] as const;
export const SERVERS = ['kafka', 'redis', 'postgres'] as const;
export const LINKS = ['kafka', 'redis', 'postgres', 'grpc', 'smpp', 'http'] as const;
export type ServiceName = (typeof SERVICES)[number];
export type ServerName = (typeof SERVERS)[number];
export type LinkName = (typeof LINKS)[number];
type Env = Record<string, string>;

/** A replica of a service, beside the first one. */
export type Replica = { readonly url: string; leave(how: 'kill' | 'stop'): Promise<void> };

export type World = {
  readonly dir: string;
  readonly simulator: Simulator;
  readonly services: Readonly<Record<ServiceName, Unit>>;
  readonly servers: Readonly<Record<ServerName, Unit>>;
  readonly links: Readonly<Record<LinkName, FaultyProxy>>;
  readonly urls: Readonly<Record<'billing' | 'report', string>>;
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
/** What a service logged before it ended by itself: closing takes it seconds, in which it says more. */
const WORDS_BYTES = 20_000;

/** Short waits, so that what takes minutes in earnest takes seconds here; the breaker as in earnest. */
const SETTINGS: Env = {
  HOST: '127.0.0.1',
  RETRY_WAITS_S: '0.5,1,2',
  BILLING_SHARDS: String(SHARD_COUNT),
  SWEEP_EVERY_MS: '200',
  DEPENDENCY_WAIT_S: '60',
  KAFKA_SESSION_MS: '6000',
  OUTBOX_MAX: '50000',
};

const urlAt = (port: number): string => `http://127.0.0.1:${port}`;

const isReady = (url: string): Promise<boolean> =>
  fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2_000) }).then(
    ({ status }) => status === 200,
    () => false,
  );

/** By service its HTTP door, by server its door behind the proxy, and billing's gRPC door. */
type Ports = Record<ServiceName | ServerName | 'grpc', number>;

async function takePorts(): Promise<Ports> {
  const ports: Partial<Ports> = {};
  for (const name of [...SERVICES, ...SERVERS, 'grpc'] as const) ports[name] = await freePort();
  return ports as Ports;
}

/** @param billings gRPC doors of billing; connections go to each in turn */
async function openLinks(ports: Ports, simulator: Simulator, billings: readonly number[]): Promise<World['links']> {
  let turn = 0;
  return {
    kafka: await startProxy(ports.kafka),
    redis: await startProxy(ports.redis),
    postgres: await startProxy(ports.postgres),
    grpc: await startProxy(() => billings[turn++ % billings.length] as number),
    smpp: await startProxy(simulator.smppPort),
    http: await startProxy(simulator.httpPort),
  };
}

/** The first start makes the server; from then on it is started again with its data. */
function serverUnit(name: ServerName, open: () => Promise<LocalServer>): Unit {
  let server: LocalServer | null = null;
  return createUnit(name, async () => {
    if (server === null) server = await open();
    else await server.restart();
    return server;
  });
}

/** Every setting is spelled out: nothing of a person's own environment may change the run. */
function settingsOf(dir: string, ports: Ports, links: World['links'], operatorsFile: string): Env {
  const own: Env = {};
  for (const name of ['PATH', 'HOME', 'TMPDIR', 'LANG']) {
    const value = process.env[name];
    if (value !== undefined) own[name] = value;
  }
  return {
    ...own,
    ...SETTINGS,
    BILLING_HTTP_PORT: String(ports.billing),
    BILLING_GRPC_PORT: String(ports.grpc),
    BILLING_GRPC_URL: `127.0.0.1:${links.grpc.port}`,
    GATEWAY_HTTP_PORT: String(ports.gateway),
    GATEWAY_URL: urlAt(ports.gateway),
    DISPATCHER_HTTP_PORT: String(ports.dispatcher),
    REPORT_HTTP_PORT: String(ports.report),
    REPORT_URL: urlAt(ports.report),
    KAFKA_BROKERS: `127.0.0.1:${links.kafka.port}`,
    REDIS_URL: `redis://127.0.0.1:${links.redis.port}`,
    DATABASE_URL: `postgres://jsms:jsms@127.0.0.1:${links.postgres.port}/jsms`,
    OPERATORS_FILE: operatorsFile,
    DATA_DIR: join(dir, 'services'),
  };
}

/** Starts a process of a service. */
type Launch = (name: string, service: ServiceName, port: number, own: Env) => Promise<LocalServer>;

const launchIn =
  (dir: string, settings: Env): Launch =>
  (name, service, port, own) => {
    const url = urlAt(port);
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
      owner: ownIdentity(),
    });
  };

/** @param gateways, billings take the new one in while it is there */
function replicator(launch: Launch, gateways: string[], billings: number[]): World['replicate'] {
  let replicas = 0;
  const without = <T>(list: T[], one: T): void => {
    if (list.includes(one)) list.splice(list.indexOf(one), 1);
  };
  return async (service) => {
    const port = await freePort();
    const grpcPort = await freePort();
    const url = urlAt(port);
    const own: Env = { [`${service.toUpperCase()}_HTTP_PORT`]: String(port), BILLING_GRPC_PORT: String(grpcPort) };
    const server = await launch(`${service}-${++replicas}`, service, port, own);
    if (service === 'gateway') gateways.push(url);
    if (service === 'billing') billings.push(grpcPort);
    return {
      url,
      leave: async (how) => {
        without(gateways, url);
        without(billings, grpcPort);
        await server[how]();
      },
    };
  };
}

/** Starts everything in a temporary folder; what was started ends with this process, even by SIGKILL. */
export async function openWorld(say: (line: string) => void, defer: (cleanUp: () => unknown) => void): Promise<World> {
  const dir = temporaryDir();
  endWithProcess(dir);
  defer(() => rmSync(dir, { recursive: true, force: true }));
  const simulator = await startSimulator({ httpPort: 0, smppPort: 0, recordsMax: RECORDS_MAX });
  defer(() => simulator.close());
  calmOperators(simulator);
  const ports = await takePorts();
  const billings = [ports.grpc];
  const links = await openLinks(ports, simulator, billings);
  for (const link of Object.values(links)) defer(() => link.close());

  say('Starting Kafka, Redis and PostgreSQL …');
  const owner = ownIdentity();
  const advertisedPort = links.kafka.port;
  const servers = {
    kafka: serverUnit('kafka', () => startKafka({ dir, owner, port: ports.kafka, advertisedPort, heapMb: 512 })),
    redis: serverUnit('redis', () => startRedis({ dir, owner, port: ports.redis })),
    postgres: serverUnit('postgres', () => startPostgres({ dir, owner, port: ports.postgres })),
  };
  for (const server of Object.values(servers)) defer(() => server.kill());
  await Promise.all(Object.values(servers).map((server) => server.start()));

  say('Starting the services …');
  const operatorsFile = join(dir, 'operator.json');
  writeOperators(operatorsFile, links.http.port, links.smpp.port);
  const settings = settingsOf(dir, ports, links, operatorsFile);
  mkdirSync(settings.DATA_DIR as string, { recursive: true });
  const launch = launchIn(dir, settings);
  const unit = (name: ServiceName): Unit => createUnit(name, (env) => launch(name, name, ports[name], env));
  const services = {
    billing: unit('billing'),
    gateway: unit('gateway'),
    dispatcher: unit('dispatcher'),
    report: unit('report'),
  };
  for (const service of Object.values(services)) defer(() => service.kill());
  await services.billing.start();
  await Promise.all([services.gateway.start(), services.dispatcher.start(), services.report.start()]);

  const gateways = [urlAt(ports.gateway)];
  return {
    dir,
    simulator,
    services,
    servers,
    links,
    urls: { billing: urlAt(ports.billing), report: urlAt(ports.report) },
    gateways,
    direct: {
      redisUrl: `redis://127.0.0.1:${ports.redis}`,
      databaseUrl: `postgres://jsms:jsms@127.0.0.1:${ports.postgres}/jsms`,
      kafkaBrokers: settings.KAFKA_BROKERS as string,
    },
    replicate: replicator(launch, gateways, billings),
    wordsOf: (service) => lastWords(join(dir, 'logs', `${service}.log`), 0, WORDS_BYTES),
  };
}
