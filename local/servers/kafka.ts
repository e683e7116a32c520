/** One Kafka node (KRaft, broker and controller in one) on 127.0.0.1. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { kafkaFitness } from '../fitness/kafka.ts';
import type { PidRecord } from '../pid-file.ts';
import { jarsFolder } from '../places.ts';
import { freePort } from '../ports.ts';
import { ensureJars } from './jars.ts';
import { type LocalServer, startServer } from './server-process.ts';

const run = promisify(execFile);
const JAVA_MIN = 17;
const RANK = 10;

export type StartOptions = {
  /** The base folder; data, logs and pid files of all servers are below it. */
  dir: string;
  /** Default: a free one. */
  port?: number;
  /** The process that ends it; null (default): it stays until somebody ends it. */
  owner?: PidRecord['owner'];
  progress?: (line: string) => void;
  signal?: AbortSignal;
};

export type KafkaOptions = StartOptions & {
  heapMb?: number;
  /** Where its clients are led to, when something stands in between; default: its own port. */
  advertisedPort?: number;
};

/** The major version in what `java -version` prints; 8 for "1.8.0". */
export function javaMajor(printed: string): number {
  const version = /version "(\d+)(?:\.(\d+))?/.exec(printed);
  return Number(version?.[1] === '1' ? version[2] : version?.[1]) || 0;
}

/** The java to use: JAVA_HOME's, else the PATH's. Throws a sentence when there is none or it is too old. */
async function findJava(): Promise<string> {
  const home = process.env.JAVA_HOME;
  const java = home && existsSync(join(home, 'bin', 'java')) ? join(home, 'bin', 'java') : 'java';
  const mend = `install Java ${JAVA_MIN} or newer (Debian: \`apt install openjdk-17-jre-headless\`; macOS: \`brew install openjdk\`), or let KAFKA_BROKERS name a Kafka that runs`;
  const printed = await run(java, ['-version']).then(
    ({ stderr, stdout }) => stderr + stdout,
    () => null,
  );
  if (printed === null)
    throw new Error(`Java is missing: Kafka runs on it, and there is no working \`java\`; ${mend}.`);
  if (javaMajor(printed) < JAVA_MIN) throw new Error(`Java ${javaMajor(printed)} is too old for Kafka: ${mend}.`);
  return java;
}

function properties(dataDir: string, port: number, controllerPort: number, advertisedPort = port): string {
  const settings: Record<string, string | number> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${advertisedPort}`,
    'controller.listener.names': 'CONTROLLER',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'log.dirs': dataDir,
    // Topics are created by the services, with their partitions: a wrong name must fail.
    'auto.create.topics.enable': 'false',
    'group.initial.rebalance.delay.ms': 0,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 8,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    // A killed broker's registration blocks its own next start until this has passed (default: 9 s).
    'broker.session.timeout.ms': 3_000,
    'broker.heartbeat.interval.ms': 500,
    // The default of 128 MB would be a quarter of the heap.
    'log.cleaner.dedupe.buffer.size': 8_388_608,
  };
  return `${Object.entries(settings)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n')}\n`;
}

const CLASS_PATH = (jars: string): string[] => ['-cp', join(jars, '*')];

/** 16 random bytes in base64; never with a leading dash, which the tool would take for an option. */
function newClusterId(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0] as number) & 0x7f;
  return bytes.toString('base64url');
}

/** Formats the data folder once: aside, then renamed, so that an interruption leaves nothing half formatted. */
async function format(java: string, jars: string, home: string, signal?: AbortSignal): Promise<void> {
  const aside = join(home, 'data.new');
  rmSync(aside, { recursive: true, force: true });
  const config = join(home, 'format.properties');
  writeFileSync(config, properties(aside, 1, 2));
  const clusterId = newClusterId();
  const args = [
    '-XX:TieredStopAtLevel=1',
    ...CLASS_PATH(jars),
    'kafka.tools.StorageTool',
    'format',
    '-t',
    clusterId,
    '-c',
    config,
  ];
  await run(java, args, signal ? { signal } : {}).catch(
    (thrown: { stderr?: string; stdout?: string; message: string }) => {
      throw new Error(
        `Kafka's data folder could not be formatted: ${thrown.stderr || thrown.stdout || thrown.message}`,
      );
    },
  );
  renameSync(aside, join(home, 'data'));
  rmSync(config);
}

/**
 * Starts Kafka 4.1 with its data in `dir`/kafka; returns when its clients are served. Its jars are fetched once.
 * @throws one sentence: no Java, no Maven, a taken port, or the end of Kafka's own log
 */
export async function startKafka({ dir, heapMb = 512, owner = null, ...options }: KafkaOptions): Promise<LocalServer> {
  const { progress = () => undefined, signal } = options;
  const java = await findJava();
  const jars = await ensureJars(jarsFolder(dir), progress, signal);
  const port = options.port ?? (await freePort());
  const home = join(dir, 'kafka');
  const data = join(home, 'data');
  mkdirSync(home, { recursive: true });
  if (!existsSync(data)) await format(java, jars, home, signal);
  const config = join(home, 'server.properties');
  const advertisedPort = options.advertisedPort ?? port;
  writeFileSync(config, properties(data, port, await freePort(), advertisedPort));
  const heap = [`-Xms${Math.min(256, heapMb)}m`, `-Xmx${heapMb}m`, '-XX:+UseSerialGC'];
  const log = ['-Dorg.slf4j.simpleLogger.showDateTime=true', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'];
  const address = `127.0.0.1:${advertisedPort}`;
  return startServer({
    name: 'kafka',
    dir,
    address,
    port,
    rank: RANK,
    launch: { command: java, args: [...heap, ...log, ...CLASS_PATH(jars), 'kafka.Kafka', config], cwd: home },
    answers: async () => (await kafkaFitness(address, 1_000)).state === 'fit',
    stopSignal: 'SIGTERM',
    graceMs: 30_000,
    // A JVM on a machine that is busy with other things takes its time.
    readyWithinMs: 180_000,
    owner,
    ...(signal ? { signal } : {}),
  });
}
