/**
 * The whole product as it runs in earnest: the four services as processes of their own, started from their own folders, with
 * real servers below and the operators' simulator in this process. One stack runs at a time; starting another ends it.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownIdentity } from '../../local/pid-file.ts';
import { ROOT } from '../../local/places.ts';
import { freePort } from '../../local/ports.ts';
import { endWithProcess, temporaryDir } from '../../local/servers/all.ts';
import { type LocalServer, lastWords, startServer } from '../../local/servers/server-process.ts';
import type { Failpoint } from '../../shared/failpoint.ts';
import { fetchTrusting } from '../../shared/runtime.ts';
import { type Simulator, start as startSimulator } from '../../simulator/index.ts';
import { type Accepted, type Api, createApi, FINAL, type Message, type SendBody, type Urls } from './api.ts';
import { AUTHORITY, OWN } from './certificates.ts';
import { type OperatorPatches, type OperatorsSpec, operatorsSpec } from './operators-file.ts';
import { until } from './poll.ts';
import { SHARD_COUNT } from './shards.ts';
import { type StackServers, startStackServers } from './stack-servers.ts';

export type ServiceName = 'billing' | 'gateway' | 'dispatcher' | 'report';
export const SERVICES: readonly ServiceName[] = ['billing', 'gateway', 'dispatcher', 'report'];
export type Runtime = 'bun' | 'deno';
type Env = Record<string, string>;

export type StackOptions = {
  /** By operator, `*` for all, on top of the defaults of operators-file.ts. */
  operators?: OperatorPatches;
  /** Settings of every service. */
  env?: Env;
  services?: readonly ServiceName[];
  runtime?: Runtime;
  /** A Kafka of its own, for tests that end it. */
  ownKafka?: boolean;
  /** A PostgreSQL of its own, likewise. */
  ownPostgres?: boolean;
  /** Every door speaks TLS with the tests' certificate; `call` and its like speak plainly and reach none of them. */
  tls?: boolean;
};

export type LogLine = { time: string; level: string; service: string; event: string } & Record<string, unknown>;

export type Stack = Api & {
  urls: Urls;
  dir: string;
  simulator: Simulator;
  servers: StackServers;
  /** The environment of every service. */
  readonly settings: Readonly<Record<string, string>>;
  /** The operators file that the services watch. */
  readonly operators: OperatorsSpec;
  writeOperators(spec: unknown): void;
  isAlive(service: ServiceName): boolean;
  pidOf(service: ServiceName): number;
  /** SIGKILL; returns when it is gone. */
  kill(service: ServiceName): Promise<void>;
  /** In order, by SIGTERM. */
  stop(service: ServiceName): Promise<void>;
  /** Starts it, ending it first where it runs; `env` is for this process of it alone. */
  restart(service: ServiceName, env?: Env): Promise<void>;
  /** Ends it in order and starts it with a failpoint: it will kill itself there, perhaps before it is ready. */
  arm(service: ServiceName, failpoint: Failpoint, pass?: number): Promise<void>;
  /** Waits until the service has killed itself. */
  died(service: ServiceName, withinMs?: number): Promise<void>;
  logs(service: ServiceName): LogLine[];
  /** The message, from the report, once its status is final and everything about it was read. */
  final(messageId: string, withinMs?: number): Promise<Message>;
  /** The message once the report shows it with this status. */
  reaches(messageId: string, status: string, withinMs?: number): Promise<Message>;
  /** Sends until the gateway takes the message: right after a restart of billing it may refuse for a moment. */
  sendUntilAccepted(body: SendBody): Promise<Accepted>;
  close(): Promise<void>;
};

const READY_WITHIN_MS = 40_000;
const GRACE_MS = 15_000;
/** Short waits everywhere, so that what takes minutes in earnest takes a second here. */
const FAST: Env = {
  RETRY_WAITS_S: '0.2,0.4,0.8',
  BILLING_SHARDS: String(SHARD_COUNT),
  SWEEP_EVERY_MS: '100',
  DEPENDENCY_WAIT_S: '30',
  KAFKA_SESSION_MS: '6000',
};

const PORTS: Readonly<Record<ServiceName, readonly string[]>> = {
  billing: ['BILLING_HTTP_PORT', 'BILLING_GRPC_PORT'],
  gateway: ['GATEWAY_HTTP_PORT'],
  dispatcher: ['DISPATCHER_HTTP_PORT'],
  report: ['REPORT_HTTP_PORT'],
};

const COMMANDS: Readonly<Record<Runtime, { command: string; args: string[] }>> = {
  bun: { command: process.execPath, args: ['run', 'index.ts'] },
  // The program itself: what stands in .bin only starts it, and would be ended in its place.
  deno: { command: join(ROOT, 'node_modules', 'deno', 'deno'), args: ['run', '-A', 'index.ts'] },
};

/** Only what a program needs at all: no setting of the person who runs the tests. */
function plainEnv(): Env {
  const kept: Env = {};
  for (const name of ['PATH', 'HOME', 'TMPDIR', 'LANG']) {
    const value = process.env[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

async function portsEnv(): Promise<Env> {
  const env: Env = {};
  for (const name of Object.values(PORTS).flat()) env[name] = String(await freePort());
  return env;
}

const trusting = fetchTrusting(AUTHORITY);

const isReady = (url: string): Promise<boolean> =>
  (url.startsWith('https:') ? trusting : fetch)(`${url}/health/ready`, { signal: AbortSignal.timeout(2_000) }).then(
    ({ status }) => status === 200,
    () => false,
  );

/** The settings of doors that speak TLS, and its files. */
function tlsEnv(dir: string): Env {
  const files = { TLS_CERT_FILE: OWN.cert, TLS_KEY_FILE: OWN.key, TLS_CA_FILE: AUTHORITY };
  const env: Env = {};
  for (const [name, pem] of Object.entries(files)) {
    env[name] = join(dir, `${name.toLowerCase()}.pem`);
    writeFileSync(env[name], pem, { mode: 0o600 });
  }
  return env;
}

type Running = { close(): Promise<void> };
/** Under this name, so that a file loaded anew (`bun test --isolate`) finds what an earlier one left running. */
const REGISTRY = Symbol.for('jsms.tests.stack');
const registry = globalThis as unknown as { [REGISTRY]?: Running | undefined };

/** Ends the stack that runs, if one does. */
export async function closeRunningStack(): Promise<void> {
  await registry[REGISTRY]?.close();
}

/** Starts everything and waits until it is ready. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  await closeRunningStack();
  const dir = temporaryDir();
  endWithProcess(dir);
  const simulator = await startSimulator({ httpPort: 0, smppPort: 0 });
  let servers: StackServers | null = null;
  try {
    servers = await startStackServers(dir, {
      ownKafka: options.ownKafka ?? false,
      ownPostgres: options.ownPostgres ?? false,
    });
    return await openStack(dir, simulator, servers, options);
  } catch (thrown) {
    await simulator.close();
    await servers?.close();
    rmSync(dir, { recursive: true, force: true });
    throw thrown;
  }
}

async function openStack(
  dir: string,
  simulator: Simulator,
  servers: StackServers,
  { operators: patches = {}, env = {}, services = SERVICES, runtime = 'bun', tls = false }: StackOptions,
): Promise<Stack> {
  const ports = await portsEnv();
  const operatorsFile = join(dir, 'operator.json');
  let operators = operatorsSpec(simulator.httpUrl, patches, simulator.smppPort);
  const writeOperators = (spec: unknown): void => writeFileSync(operatorsFile, JSON.stringify(spec, null, 2));
  writeOperators(operators);
  const urlOf = (service: ServiceName): string =>
    `http${tls ? 's' : ''}://127.0.0.1:${ports[PORTS[service][0] as string]}`;
  const urls = Object.fromEntries(SERVICES.map((service) => [service, urlOf(service)])) as Urls;
  const settings: Env = {
    ...plainEnv(),
    ...FAST,
    ...ports,
    ...(tls ? tlsEnv(dir) : {}),
    BILLING_GRPC_URL: `${tls ? 'grpcs://' : ''}127.0.0.1:${ports.BILLING_GRPC_PORT}`,
    REPORT_URL: urls.report,
    GATEWAY_URL: urls.gateway,
    KAFKA_BROKERS: servers.kafkaBrokers,
    REDIS_URL: servers.redis.address,
    DATABASE_URL: servers.databaseUrl,
    OPERATORS_FILE: operatorsFile,
    DATA_DIR: join(dir, 'services'),
    ...env,
  };
  mkdirSync(settings.DATA_DIR as string, { recursive: true });

  const running = new Map<ServiceName, LocalServer>();
  const start = async (service: ServiceName, own: Env = {}): Promise<void> => {
    const { command, args } = COMMANDS[runtime];
    const url = urls[service];
    const server = await startServer({
      name: service,
      dir,
      address: url,
      port: Number(ports[PORTS[service][0] as string]),
      rank: 20,
      launch: { command, args, cwd: join(ROOT, service), env: { ...settings, ...own } },
      answers: () => isReady(url),
      stopSignal: 'SIGTERM',
      graceMs: GRACE_MS,
      readyWithinMs: READY_WITHIN_MS,
      owner: ownIdentity(),
    });
    running.set(service, server);
  };
  const isAlive = (service: ServiceName): boolean => running.get(service)?.isAlive() ?? false;
  const restart = async (service: ServiceName, own: Env = {}): Promise<void> => {
    if (isAlive(service)) await running.get(service)?.kill();
    await start(service, own);
  };
  const close = async (): Promise<void> => {
    registry[REGISTRY] = undefined;
    // In order, so that what is in flight ends and every consumer leaves its group: the next stack needs empty groups.
    const clients = SERVICES.filter((service) => service !== 'billing');
    await Promise.all(clients.map((service) => running.get(service)?.stop()));
    await running.get('billing')?.stop();
    await simulator.close();
    await servers.close();
    rmSync(dir, { recursive: true, force: true });
  };
  registry[REGISTRY] = { close };

  try {
    if (services.includes('billing')) await start('billing');
    await Promise.all(services.filter((service) => service !== 'billing').map((service) => start(service)));
  } catch (thrown) {
    registry[REGISTRY] = undefined;
    for (const server of running.values()) await server.kill();
    throw thrown;
  }

  const api = createApi(urls);
  return {
    ...api,
    urls,
    dir,
    simulator,
    servers,
    settings,
    get operators() {
      return structuredClone(operators);
    },
    writeOperators: (spec) => {
      operators = spec as OperatorsSpec;
      writeOperators(spec);
    },
    isAlive,
    pidOf: (service) => (running.get(service) as LocalServer).pid,
    kill: async (service) => void (await running.get(service)?.kill()),
    stop: async (service) => void (await running.get(service)?.stop()),
    restart,
    arm: async (service, failpoint, pass = 1) => {
      await running.get(service)?.stop();
      await start(service, { FAILPOINT: `${failpoint}:${pass}` }).catch((thrown: Error) => {
        if (!thrown.message.includes('ended while it started')) throw thrown;
      });
    },
    died: async (service, withinMs = 15_000) => {
      await until(`${service} killed itself`, () => !isAlive(service), { withinMs, everyMs: 20 });
    },
    logs: (service) => {
      const file = join(dir, 'logs', `${service}.log`);
      if (!existsSync(file)) return [];
      return readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as LogLine);
    },
    final: (messageId, withinMs = 20_000) =>
      until(
        `message ${messageId} is final`,
        async () => {
          const message = await api.message(messageId);
          // An outcome may be read before the message itself: until then it is without its number and text.
          if (FINAL.has(message.status) && message.phone !== null) return message;
          throw new Error(`it is ${message.status}`);
        },
        { withinMs },
      ),
    reaches: (messageId, status, withinMs = 20_000) =>
      until(
        `message ${messageId} is ${status}`,
        async () => {
          const message = await api.message(messageId);
          if (message.status === status) return message;
          throw new Error(`it is ${message.status}`);
        },
        { withinMs },
      ),
    sendUntilAccepted: (body) =>
      until('the gateway takes a message', async () => {
        const { status, json, text } = await api.trySend(body);
        if (status === 202) return json;
        throw new Error(text);
      }),
    close,
  };
}

/** The end of a service's log, for a failure's message. */
export const wordsOf = (stack: Stack, service: ServiceName): string =>
  lastWords(join(stack.dir, 'logs', `${service}.log`));
