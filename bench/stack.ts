/** A whole system of its own for a benchmark: fresh servers, the simulator and the four services, all ended with it. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownIdentity } from '../local/pid-file.ts';
import { ROOT } from '../local/places.ts';
import { freePort } from '../local/ports.ts';
import { allOrNone, endWithProcess, type LocalServers, startServers, temporaryDir } from '../local/servers/all.ts';
import { type LocalServer, startServer } from '../local/servers/server-process.ts';
import { RUNTIME_ENV, turnOf } from '../local/services.ts';
import { type Connector, operatorsJson } from './operators-file.ts';
import { type Snapshot, usageOf } from './processes.ts';

export type ServiceName = 'simulator' | 'billing' | 'gateway' | 'dispatcher' | 'report';
/** What is told apart in every table; the load generator and the operators are no part of the system. */
export const PARTS = ['gateway', 'billing', 'dispatcher', 'report', 'kafka', 'redis', 'postgres'] as const;
export type PartName = (typeof PARTS)[number];

export type Stack = {
  readonly dir: string;
  readonly servers: LocalServers;
  readonly services: Readonly<Record<ServiceName, LocalServer>>;
  readonly urls: Readonly<Record<ServiceName, string>>;
  readonly simulatorSmppPort: number;
  /** CPU and, when asked for, memory of the parts and of the simulator, since each one's start. */
  usage(withMemory?: boolean): Snapshot;
};

export type StackOptions = {
  connector: Connector;
  unknownWaitS: number;
  /** RETRY_WAITS_S. */
  retryWaits: string;
  /** A folder for CPU profiles of the services; they are written when a service ends. */
  profileDir: string | null;
  /** The folder of PostgreSQL's programs; as `up` finds them where it is empty or not given. */
  postgresBin?: string;
  /** Settings of every service on top of the bench's own. */
  env?: Readonly<Record<string, string>>;
  signal: AbortSignal;
  say: (line: string) => void;
  defer: (cleanUp: () => unknown) => void;
};

const FIRST_RANK = 20;
const GRACE_MS = 17_000;
const READY_WITHIN_MS = 90_000;
const KAFKA_HEAP_MB = 512;

/** In the order of dependency; what stands together starts together. */
const STEPS: readonly (readonly ServiceName[])[] = [
  ['simulator', 'billing'],
  ['report', 'dispatcher', 'gateway'],
];

const isReady = (url: string): Promise<boolean> =>
  fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2_000) }).then(
    ({ status }) => status === 200,
    () => false,
  );

type Ports = Record<ServiceName | 'grpc' | 'smpp', number>;

async function takePorts(): Promise<Ports> {
  const names = ['simulator', 'billing', 'gateway', 'dispatcher', 'report', 'grpc', 'smpp'] as const;
  const ports: Partial<Ports> = {};
  for (const name of names) ports[name] = await freePort();
  return ports as Ports;
}

const urlsOf = (ports: Ports): Record<ServiceName, string> => ({
  simulator: `http://127.0.0.1:${ports.simulator}`,
  billing: `http://127.0.0.1:${ports.billing}`,
  gateway: `http://127.0.0.1:${ports.gateway}`,
  dispatcher: `http://127.0.0.1:${ports.dispatcher}`,
  report: `http://127.0.0.1:${ports.report}`,
});

/** Every setting is spelled out: nothing of a person's own environment may change what is measured. */
function serviceEnv(ports: Ports, servers: LocalServers, operatorsFile: string, options: StackOptions) {
  const urls = urlsOf(ports);
  return {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    HOST: '127.0.0.1',
    LOG_LEVEL: 'info',
    ...RUNTIME_ENV,
    ...servers.env,
    BILLING_HTTP_PORT: String(ports.billing),
    BILLING_GRPC_PORT: String(ports.grpc),
    BILLING_GRPC_URL: `127.0.0.1:${ports.grpc}`,
    GATEWAY_HTTP_PORT: String(ports.gateway),
    GATEWAY_URL: urls.gateway,
    DISPATCHER_HTTP_PORT: String(ports.dispatcher),
    REPORT_HTTP_PORT: String(ports.report),
    REPORT_URL: urls.report,
    RETRY_WAITS_S: options.retryWaits,
    OPERATORS_FILE: operatorsFile,
    SIMULATOR_HTTP_PORT: String(ports.simulator),
    SIMULATOR_SMPP_PORT: String(ports.smpp),
    SIMULATOR_ACCOUNTS: 'mci:mci,mtn:mtn,rightel:rightel,kannel:kannel',
    SIMULATOR_DIALS: JSON.stringify({ '*': { record: 'counts', dedupe: false } }),
    ...options.env,
  };
}

/** Starts everything in a temporary folder and returns when all are ready. It ends with the bench, even by SIGKILL. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { connector, unknownWaitS, profileDir, postgresBin, signal, say, defer } = options;
  const dir = temporaryDir();
  endWithProcess(dir);
  defer(() => rmSync(dir, { recursive: true, force: true }));
  const owner = ownIdentity();
  say('Starting Kafka, Redis and PostgreSQL …');
  const servers = await startServers({
    dir,
    owner,
    progress: say,
    signal,
    heapMb: KAFKA_HEAP_MB,
    programs: postgresBin,
  });
  defer(() => servers.stop());
  const ports = await takePorts();
  const urls = urlsOf(ports);
  const operatorsFile = join(dir, 'operator.json');
  writeFileSync(operatorsFile, operatorsJson(connector, { http: ports.simulator, smpp: ports.smpp }, unknownWaitS));
  const env = serviceEnv(ports, servers, operatorsFile, options);
  if (profileDir) mkdirSync(profileDir, { recursive: true });

  const services: Partial<Record<ServiceName, LocalServer>> = {};
  let rank = FIRST_RANK;
  const startOne = async (name: ServiceName, ownRank: number, either: AbortSignal): Promise<LocalServer> => {
    const profile = profileDir
      ? ['--cpu-prof', '--cpu-prof-dir', profileDir, '--cpu-prof-name', `${name}.cpuprofile`]
      : [];
    const service = await startServer({
      name,
      dir,
      address: urls[name],
      port: ports[name],
      rank: ownRank,
      launch: {
        command: process.execPath,
        args: [...profile, 'index.ts'],
        cwd: join(ROOT, name),
        env,
        turn: turnOf(name),
      },
      answers: () => isReady(urls[name]),
      stopSignal: 'SIGTERM',
      graceMs: GRACE_MS,
      readyWithinMs: READY_WITHIN_MS,
      owner,
      signal: either,
    });
    services[name] = service;
    defer(() => service.stop());
    return service;
  };
  say('Starting the simulator and the services …');
  for (const step of STEPS) {
    await allOrNone(
      signal,
      step.map((name) => {
        const ownRank = rank++;
        return (either: AbortSignal) => startOne(name, ownRank, either);
      }),
    );
  }
  const started = services as Record<ServiceName, LocalServer>;
  const { kafka, redis, postgres } = servers;
  return {
    dir,
    servers,
    services: started,
    urls,
    simulatorSmppPort: ports.smpp,
    usage: (withMemory = false) => {
      const parts = { ...started, kafka, redis, postgres };
      const pids = Object.entries(parts).map(([name, { pid }]) => [name, pid] as const);
      return usageOf(Object.fromEntries(pids), withMemory);
    },
  };
}
