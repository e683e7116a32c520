/**
 * Kafka to PostgreSQL. The batches of all partitions are merged into one write, in which a message's `queued` and its outcome
 * meet where they can (gather.ts); while it is under way the next is gathered and decoded. Nothing is skipped: patient-write.ts.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { coalesce } from '../shared/coalesce.ts';
import type { KafkaClient } from '../shared/kafka.ts';
import type { Stream } from '../shared/kafka-stream.ts';
import { errorFields, type Log } from '../shared/log.ts';
import { startRounds } from '../shared/rounds.ts';
import { TOPICS } from '../shared/topics.ts';
import { readFact } from './events.ts';
import { answersWithin } from './faults.ts';
import { type Arrived, createGathering } from './gather.ts';
import type { ReportMetrics } from './measure.ts';
import { createPatientWrite, WRITE_WITHIN_MS } from './patient-write.ts';
import { EndsUnknown, startOffsets } from './start-offsets.ts';
import { joinLateMatches, type Writer } from './write.ts';

export const READ_TOPICS = [TOPICS.express, TOPICS.normal, TOPICS.bulk, TOPICS.status, TOPICS.ledger];
/**
 * More than comes while one write is under way and GATHER_MS passes: with a write cut in two the partitions fall out of step, `queued` events
 * and outcomes are read seconds apart, and each row is written twice.
 */
const WRITE_MAX_RECORDS = 20_000;
/**
 * From the begin of one write to the next, at least: what comes meanwhile is gathered, and a message whose `queued` and
 * `sent` come together costs one row write instead of two. A record that comes after a quiet time waits for nothing.
 */
const GATHER_MS = 500;
const FETCH_WAIT_MS = 250;
/** A `queued` event is written this long after its acceptance at the latest, with its outcome or without, where outcomes are read in time. */
const PATIENCE_MS = 1_500;
/** Outcomes that were produced this long ago are read in time: the rhythm of reading and writing takes as much. */
const IN_TIME_MS = GATHER_MS + FETCH_WAIT_MS;
const WAITING_MAX = 20_000;
const RECLAIM_EVERY_MS = 5_000;

export type Consumer = {
  /** False while PostgreSQL does not take what is read. */
  readonly writing: boolean;
  /** False while Kafka does not say where its partitions end: without that nothing is read. */
  readonly reading: boolean;
  close(): Promise<void>;
};

type Deps = { kafka: KafkaClient; writer: Writer; metrics: ReportMetrics; log: Log; onCrash(error: Error): void };

/** Reads the topics of READ_TOPICS from where PostgreSQL stands, until closed. */
export async function startConsumer({ kafka, writer, metrics, log, onCrash }: Deps): Promise<Consumer> {
  let closing = false;
  let writing = true;
  let reading = true;
  let assignment = 0;
  let nextWriteAt = 0;
  let patience: ReturnType<typeof setTimeout> | undefined;
  const onState = (now: boolean): void => {
    if (now !== writing) log.warn(now ? 'postgres_back' : 'postgres_away', {});
    writing = now;
  };
  const patientWrite = createPatientWrite(writer, log, () => closing, onState);
  const gathering = createGathering({
    patienceMs: PATIENCE_MS,
    inTimeMs: IN_TIME_MS,
    waitingMax: WAITING_MAX,
    now: writer.now,
  });
  const write = coalesce<Arrived | null, undefined>(
    async (items) => {
      const due = gathering.take(
        items.filter((item) => item !== null),
        closing,
      );
      if (due.facts.length > 0) {
        const began = performance.now();
        nextWriteAt = began + GATHER_MS;
        await patientWrite(due.facts, (written) => metrics.written(written), due.reached);
        metrics.wrote(due.facts.length, (performance.now() - began) / 1_000);
      }
      due.written();
      lookAgain();
      return new Array<undefined>(items.length);
    },
    { batchMax: WRITE_MAX_RECORDS, weigh: (item) => item?.facts.length ?? 0, inflightMax: 1 },
  );
  /** Writes what waits, once it has waited long enough, though nothing else comes. */
  const lookAgain = (): void => {
    clearTimeout(patience);
    const dueInMs = gathering.dueInMs();
    if (dueInMs === null || closing) return;
    // What it rejects with when the consumer closes is told to whoever closes.
    const pauseMs = Math.max(dueInMs, nextWriteAt - performance.now());
    patience = setTimeout(() => void write(null).catch(() => undefined), pauseMs);
  };

  const stream: Stream = await kafka.stream({
    group: 'jsms-report',
    topics: READ_TOPICS,
    minBytes: 64 * 1024,
    maxWaitMs: FETCH_WAIT_MS,
    onBatch: async ({ topic, partition, records, producedMs, done }) => {
      const nowMs = writer.now();
      const facts = records.map(({ offset, value }) => readFact({ topic, partition, offset }, value, nowMs));
      await write({ topic, partition, facts, producedMs, done });
      // Waited after the write and not before it: what the next write takes is then read right before it.
      const gatherMs = nextWriteAt - performance.now();
      if (gatherMs > 0) await delay(gatherMs);
    },
    onAssigned: async (assigned) => {
      assignment += 1;
      const mine = assignment;
      gathering.assigned();
      for (;;) {
        try {
          const starts = await startOffsets(writer.sql, kafka, assigned, log);
          onState(true);
          reading = true;
          return starts;
        } catch (thrown) {
          // Without PostgreSQL's offsets nothing may be read: it waits, unless a newer assignment took this one's place.
          if (closing || mine !== assignment) return [];
          reading = !(thrown instanceof EndsUnknown);
          onState(!reading);
          log.warn('start_offsets_unknown', errorFields(thrown));
          await delay(500);
        }
      }
    },
    onCrash,
  });

  const late = startRounds(
    () =>
      answersWithin(WRITE_WITHIN_MS, joinLateMatches(writer)).then(metrics.written, (thrown) =>
        log.debug('late_matches_failed', errorFields(thrown)),
      ),
    RECLAIM_EVERY_MS,
  );

  return {
    get writing() {
      return writing;
    },
    get reading() {
      return reading;
    },
    close: async () => {
      closing = true;
      clearTimeout(patience);
      stream.halt();
      await late.close();
      // What waits is written now; should PostgreSQL be away, it is read again after the next start.
      await write(null).catch(() => undefined);
      await write.idle();
      await stream.close();
    },
  };
}
