/**
 * Writing that never gives up: while PostgreSQL is away the same write is made again, and data that it refuses is cut in halves
 * until the one record stands alone, which is kept as poison.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { failpoint } from '../shared/failpoint.ts';
import { errorFields, type Log } from '../shared/log.ts';
import type { Fact } from './events.ts';
import { answersWithin, faultOf } from './faults.ts';
import { type Reached, type Writer, type Written, writeFacts } from './write.ts';

const RETRY_MAX_MS = 2_000;
/** Above the server's own limit for a statement; should the late write be done after all, the second one changes nothing. */
export const WRITE_WITHIN_MS = 75_000;

class Closing extends Error {}

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
        const written = await answersWithin(WRITE_WITHIN_MS, writeFacts(writer, facts, reached));
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
