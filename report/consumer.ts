/**
 * Kafka to PostgreSQL. The batches of all partitions are merged into one write, in which a message's `queued` and its outcome
 * meet where they can (gather.ts); while it is under way the next is gathered and decoded. Nothing is skipped: while PostgreSQL is away the write is tried again for ever, and data that it refuses is
 * cut in halves until the one record stands alone, which is kept as poison.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { coalesce } from '../shared/coalesce.ts';
import { failpoint } from '../shared/failpoint.ts';
import type { KafkaClient } from '../shared/kafka.ts';
import type { Stream } from '../shared/kafka-stream.ts';
import { errorFields, type Log } from '../shared/log.ts';
import type { Sql } from '../shared/postgres.ts';
import { startRounds } from '../shared/rounds.ts';
import { TOPICS } from '../shared/topics.ts';
import { type Fact, readFact } from './events.ts';
import { faultOf, within } from './faults.ts';
import { type Arrived, createGathering } from './gather.ts';
import type { ReportMetrics } from './measure.ts';
import { joinLateMatches, type Reached, type Writer, type Written, writeFacts } from './write.ts';

export const READ_TOPICS = [TOPICS.express, TOPICS.normal, TOPICS.bulk, TOPICS.status, TOPICS.ledger];
const WRITE_MAX_RECORDS = 5_000;
/**
 * From the begin of one write to the next, at least: what comes meanwhile is gathered, and a message whose `queued` and
 * `sent` come together costs one row write instead of two. A record that comes after a quiet time waits for nothing.
 */
const GATHER_MS = 500;
/** A `queued` event is written this long after its acceptance at the latest, with its outcome or without. */
const PATIENCE_MS = 1_500;
const WAITING_MAX = 20_000;
const RETRY_MAX_MS = 2_000;
/** Above the server's own limit for a statement; should the late write be done after all, the second one changes nothing. */
const WRITE_WITHIN_MS = 75_000;
const RECLAIM_EVERY_MS = 5_000;
/** Of the question where PostgreSQL stands: one that a crash swallowed must not stop the reading for good. */
const STANDS_WITHIN_MS = 15_000;

export type Consumer = {
  /** False while PostgreSQL does not take what is read. */
  readonly writing: boolean;
  /** False while Kafka does not say where its partitions end: without that nothing is read. */
  readonly reading: boolean;
  close(): Promise<void>;
};

type Deps = { kafka: KafkaClient; writer: Writer; metrics: ReportMetrics; log: Log; onCrash(error: Error): void };

class Closing extends Error {}
/** Kafka did not say where its partitions end: no fault of PostgreSQL's. */
class EndsUnknown extends Error {}

/** `reached`: as writeFacts takes it. */
export type PatientWrite = (
  facts: readonly Fact[],
  onWritten: (written: Written) => void,
  reached: readonly Reached[],
) => Promise<void>;

/** Writes facts until they are written. Rejects only when the consumer closes. */
export function createPatientWrite(
  writer: Writer,
  log: Log,
  isClosing: () => boolean,
  onState: (writing: boolean) => void,
): PatientWrite {
  const write: PatientWrite = async (facts, onWritten, reached) => {
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)) {
      try {
        failpoint('report.before_write');
        const written = await within(WRITE_WITHIN_MS, writeFacts(writer, facts, reached));
        failpoint('report.after_write');
        onWritten(written);
        return onState(true);
      } catch (thrown) {
        const fault = faultOf(thrown);
        if (fault === 'data') return split(facts, thrown, onWritten, reached);
        if (fault === 'partition') writer.days.forget();
        else if (fault !== 'conflict') onState(false);
        log[fault === 'other' ? 'error' : 'warn']('write_failed', {
          fault,
          records: facts.length,
          ...errorFields(thrown),
        });
        if (isClosing()) throw new Closing('closing');
        await delay(fault === 'conflict' ? 10 + Math.random() * 40 : pauseMs);
        if (isClosing()) throw new Closing('closing');
      }
    }
  };
  const split = async (
    facts: readonly Fact[],
    thrown: unknown,
    onWritten: (written: Written) => void,
    reached: readonly Reached[],
  ): Promise<void> => {
    const only = facts[0];
    if (facts.length > 1) {
      const half = facts.length >> 1;
      // With the first half alone nothing is reached yet.
      await write(facts.slice(0, half), onWritten, []);
      return write(facts.slice(half), onWritten, reached);
    }
    if (only === undefined || only.kind === 'poison') throw thrown;
    const { topic, partition, offset } = only;
    const { code } = thrown as { code?: string };
    log.error('record_refused', { topic, partition, offset, code });
    const value = Buffer.from(JSON.stringify(only.event));
    return write(
      [{ topic, partition, offset, kind: 'poison', reason: `refused by PostgreSQL: ${code}`, value }],
      onWritten,
      reached,
    );
  };
  return write;
}

/** Where PostgreSQL stands in each assigned partition; a log that was begun anew since is read from its beginning. */
async function startOffsets(
  sql: Sql,
  kafka: KafkaClient,
  assigned: ReadonlyMap<string, readonly number[]>,
  log: Log,
): Promise<{ topic: string; partition: number; offset: number }[]> {
  const rows = await within(
    STANDS_WITHIN_MS,
    sql<{ topic: string; partition: number; next_offset: string }[]>`
      SELECT topic, partition, next_offset FROM consumer_offsets`,
  );
  const known = new Map(rows.map((row) => [`${row.topic}/${row.partition}`, Number(row.next_offset)]));
  const starts: { topic: string; partition: number; offset: number }[] = [];
  for (const [topic, partitions] of assigned) {
    const ends = await kafka.endOffsets(topic).catch((cause) => {
      throw new EndsUnknown('Kafka does not say where its partitions end', { cause });
    });
    for (const partition of partitions) {
      let offset = known.get(`${topic}/${partition}`) ?? 0;
      if (offset > (ends.get(partition) ?? 0)) {
        log.warn('log_begun_anew', { topic, partition, offset, end: ends.get(partition) ?? 0 });
        const begin = sql`UPDATE consumer_offsets SET next_offset = 0 WHERE topic = ${topic} AND partition = ${partition}`;
        await within(STANDS_WITHIN_MS, begin);
        offset = 0;
      }
      starts.push({ topic, partition, offset });
    }
  }
  return starts;
}

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
  const gathering = createGathering({ patienceMs: PATIENCE_MS, waitingMax: WAITING_MAX, now: writer.now });
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
    maxWaitMs: 250,
    onBatch: async ({ topic, partition, records, done }) => {
      const nowMs = writer.now();
      const facts = records.map(({ offset, value }) => readFact({ topic, partition, offset }, value, nowMs));
      await write({ topic, partition, facts, done });
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
      within(WRITE_WITHIN_MS, joinLateMatches(writer)).then(metrics.written, (thrown) =>
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
