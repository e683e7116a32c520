/**
 * The servers of one stack: the tests' Kafka emptied of whatever was there before, or one of its own; a Redis of its own; a
 * database of its own. Topics, consumer groups and keys have fixed names, so nothing less keeps two stacks apart.
 */
import { Kafka, logLevel } from 'kafkajs';
import postgres from 'postgres';
import { startKafka } from '../../local/servers/kafka.ts';
import { startPostgres } from '../../local/servers/postgres.ts';
import { startRedis } from '../../local/servers/redis.ts';
import type { LocalServer } from '../../local/servers/server-process.ts';
import { infra } from './infra.ts';
import { until } from './poll.ts';

export type StackServers = {
  kafkaBrokers: string;
  redis: LocalServer;
  databaseUrl: string;
  /** Only where the stack has a Kafka of its own. */
  kafka: LocalServer | null;
  /** Only where the stack has a PostgreSQL of its own. */
  postgres: LocalServer | null;
  close(): Promise<void>;
};

/** A member of a group that was killed is believed dead after the longest session timeout of all services. */
const GROUPS_EMPTY_WITHIN_MS = 25_000;

export const connectTestKafka = (brokers: string): Kafka =>
  new Kafka({ clientId: 'jsms-tests', brokers: [brokers], logLevel: logLevel.NOTHING, retry: { retries: 8 } });

/** Removes every group and every topic. Throws when somebody is still a member of a group. */
async function emptyKafka(brokers: string): Promise<void> {
  const admin = connectTestKafka(brokers).admin();
  await admin.connect();
  try {
    await until(
      'no consumer group is left in the Kafka of the tests',
      async () => {
        const { groups } = await admin.listGroups();
        if (groups.length === 0) return true;
        await admin.deleteGroups(groups.map(({ groupId }) => groupId));
        return false;
      },
      { withinMs: GROUPS_EMPTY_WITHIN_MS, everyMs: 200 },
    );
    const topics = async () => (await admin.listTopics()).filter((topic) => !topic.startsWith('__'));
    const found = await topics();
    if (found.length > 0) await admin.deleteTopics({ topics: found });
    await until('the topics are gone', async () => (await topics()).length === 0);
  } finally {
    await admin.disconnect();
  }
}

async function createDatabase(serverUrl: string, name: string): Promise<{ url: string; drop(): Promise<void> }> {
  const run = async (statement: string): Promise<void> => {
    const sql = postgres(serverUrl, { max: 1, onnotice: () => undefined });
    await sql.unsafe(statement).finally(() => sql.end({ timeout: 5 }));
  };
  await run(`CREATE DATABASE ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => run(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

let databases = 0;

/** @param dir where the stack's own servers keep their data and their pid files */
export async function startStackServers(
  dir: string,
  { ownKafka, ownPostgres }: { ownKafka: boolean; ownPostgres: boolean },
): Promise<StackServers> {
  const shared = infra();
  const name = `stack_${process.pid}_${Date.now()}_${++databases}`;
  const [kafka, redis, postgresql, database] = await Promise.all([
    ownKafka ? startKafka({ dir, heapMb: 384 }) : emptyKafka(shared.kafkaBrokers).then(() => null),
    startRedis({ dir }),
    ownPostgres ? startPostgres({ dir }) : null,
    ownPostgres ? null : createDatabase(shared.databaseUrl, name),
  ]);
  return {
    kafkaBrokers: kafka?.address ?? shared.kafkaBrokers,
    redis,
    databaseUrl: postgresql?.address ?? (database as { url: string }).url,
    kafka,
    postgres: postgresql,
    close: async () => {
      await Promise.all([kafka?.kill(), redis.kill(), postgresql?.stop(), database?.drop()]);
    },
  };
}
