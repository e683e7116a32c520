/**
 * What a service waits for at its start. Each is opened, closed with the scope, and waited for no longer than DEPENDENCY_WAIT_S; what
 * does not answer by then is named in one sentence with its mend, which is thrown.
 */
import type { Values } from './config.ts';
import { type Credentials, type KAFKA_SETTINGS, kafkaSecurity } from './credentials.ts';
import { type BillingClient, connectBilling } from './grpc.ts';
import { connectKafka, type KafkaClient } from './kafka.ts';
import type { Producer } from './kafka-producer.ts';
import { type Scope, waitFor } from './lifecycle.ts';
import type { Log } from './log.ts';
import { connected, connectRedis, type Redis } from './redis.ts';

/** A service that is starting, with the settings that what it opens needs. */
export type Start<C> = { config: C & { DEPENDENCY_WAIT_S: number }; credentials: Credentials; scope: Scope; log: Log };

const DAY_MS = 86_400_000;

const answers = <T>({ config }: Start<unknown>, ask: () => Promise<T>, what: string, mend: string): Promise<T> =>
  waitFor(ask, config.DEPENDENCY_WAIT_S * 1_000, `${what}; ${mend}`);
const STARTS_ONE = '`bun run infra` starts one';

type KafkaConfig = Values<typeof KAFKA_SETTINGS> & { KAFKA_SESSION_MS?: number };

/** Kafka, with our topics made. */
export async function openKafka(start: Start<KafkaConfig>, clientId: string): Promise<KafkaClient> {
  const { config, credentials, scope, log } = start;
  const { KAFKA_BROKERS, KAFKA_REPLICATION: replication, KAFKA_RETENTION_DAYS, KAFKA_SESSION_MS: sessionMs } = config;
  const security = kafkaSecurity(config, credentials.ca);
  const brokers = KAFKA_BROKERS.split(',');
  const kafka = connectKafka({ brokers, clientId, log, security, ...(sessionMs === undefined ? {} : { sessionMs }) });
  scope.defer('kafka', () => kafka.close());
  const ensure = (): Promise<void> => kafka.ensureTopics({ replication, retentionMs: KAFKA_RETENTION_DAYS * DAY_MS });
  await answers(start, ensure, `Kafka does not answer at ${KAFKA_BROKERS}`, STARTS_ONE);
  return kafka;
}

export async function openProducer({ scope }: Pick<Start<unknown>, 'scope'>, kafka: KafkaClient): Promise<Producer> {
  const producer = await kafka.producer();
  scope.defer('producer', () => producer.close());
  return producer;
}

/** @param ask what Redis must have answered */
export async function openRedis(
  start: Start<{ REDIS_URL: string }>,
  ask: (redis: Redis) => Promise<void> = connected,
): Promise<Redis> {
  const { config, credentials, scope, log } = start;
  const redis = connectRedis(config.REDIS_URL, log, credentials.ca);
  scope.defer('redis', () => redis.disconnect());
  await answers(start, () => ask(redis), `Redis does not answer at ${new URL(config.REDIS_URL).host}`, STARTS_ONE);
  return redis;
}

export async function openBilling(start: Start<{ BILLING_GRPC_URL: string }>): Promise<BillingClient> {
  const { config, credentials, scope } = start;
  const billing = connectBilling(config.BILLING_GRPC_URL, credentials);
  scope.defer('billing', () => billing.close());
  const what = `billing does not answer at ${config.BILLING_GRPC_URL}`;
  await answers(start, () => billing.ready(2_000), what, 'start it with `bun run index.ts` in billing/');
  return billing;
}
