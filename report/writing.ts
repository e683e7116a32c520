/** Everything that writes: the consumer, the retention, and what receipts settle; each closes with the scope. */
import type { Credentials } from '../shared/credentials.ts';
import { connectBilling } from '../shared/grpc.ts';
import type { KafkaClient } from '../shared/kafka.ts';
import type { Scope } from '../shared/lifecycle.ts';
import type { Log } from '../shared/log.ts';
import type { Sql } from '../shared/postgres.ts';
import type { Config } from './config.ts';
import { type Consumer, startConsumer } from './consumer.ts';
import type { ReportMetrics } from './measure.ts';
import { createDays } from './partitions.ts';
import { watchWaiting } from './receipts.ts';
import { startRetention } from './retention.ts';
import { watchUnknowns } from './unknowns.ts';

type Deps = { sql: Sql; kafka: KafkaClient; credentials: Credentials; measured: ReportMetrics; log: Log };

export async function startWriting(config: Config, deps: Deps, scope: Scope): Promise<Consumer> {
  const { sql, kafka, credentials, measured, log } = deps;
  const timeZone = config.REPORT_TIME_ZONE;
  const now = Date.now;
  const days = createDays(sql, timeZone);
  const retention = {
    messagesDays: config.REPORT_RETENTION_DAYS,
    deadLetterDays: config.DEAD_LETTER_RETENTION_DAYS,
    receiptsDays: config.RECEIPT_RETENTION_DAYS,
  };
  const retaining = startRetention({ sql, days, timeZone, retention, now, onUnmatched: measured.unmatched, log });
  scope.defer('retention', () => retaining.close());
  const writer = { sql, days, timeZone, ...retention, now, mergesUntilMs: 0 };
  const onCrash = (error: Error) => scope.fail('the Kafka consumer is gone', error);
  const consumer = await startConsumer({ kafka, writer, metrics: measured, log, onCrash });
  scope.defer('consumer', () => consumer.close());
  const waiting = watchWaiting(sql, measured.waiting);
  scope.defer('waiting receipts', () => waiting.close());
  const billing = connectBilling(config.BILLING_GRPC_URL, credentials);
  scope.defer('billing', () => billing.close());
  const unknowns = watchUnknowns({ sql, billing, onSettled: measured.unknownSettled, log });
  scope.defer('unknowns', () => unknowns.close());
  return consumer;
}
