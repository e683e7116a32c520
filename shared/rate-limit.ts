/**
 * Messages a second by account or by key, for all processes together: the bucket is in Redis, and a process takes messages of
 * it in advance, so that a busy subject costs a hop about every twentieth of a second and not one per message. What was taken
 * and not used goes back with the next asking.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { within } from './deadline.ts';
import { AppError } from './error.ts';
import { errorFields, type Log } from './log.ts';
import { defineScript, type Redis } from './redis.ts';

/** What is taken in advance lasts for this part of a second at the full rate. */
const AHEAD = 1 / 20;
/** Messages that were taken in advance longer ago are not used any more but given back: others may have had their share. */
const STALE_MS = 1_000;
const ANSWER_WITHIN_MS = 1_000;
/** After a failed asking everybody is refused for so long: a Redis that hangs must not gather requests. */
const PAUSE_MS = 250;
const SUBJECTS_MAX = 10_000;
/** Requests of this process that wait for an answer; past it they are refused with 503. */
const WAITING_MAX = 10_000;

type Waiting = { count: number; resolve: () => void; reject: (reason: AppError) => void };
type Subject = {
  perSecond: number;
  tokens: number;
  takenAt: number;
  waiting: Waiting[];
  asking: boolean;
  /** Until then so many messages or more are refused without asking again. */
  refusedUntil: number;
  refusedCount: number;
};

export type RateLimit = {
  /**
   * Takes messages of a subject's rate: at once where they were taken in advance, else when Redis has answered. Throws or rejects
   * with `rate_limited` and its Retry-After, or with `unavailable`.
   * @param rate this subject's own, messages a second
   */
  take(subject: string, count: number, rate?: number): void | Promise<void>;
  /** What was taken and then refused for another reason. */
  giveBack(subject: string, count: number): void;
};

const refusal = (what: string, waitMs: number): AppError =>
  new AppError('rate_limited', `This ${what} has used up its messages a second; Retry-After says when to go on.`, {
    retryAfterS: Math.max(1, Math.ceil(waitMs / 1_000)),
  });
const unavailable = (cause?: unknown): AppError =>
  new AppError('unavailable', 'The rates cannot be checked at the moment; nothing was charged.', { cause });

/**
 * @param what account or key, in the names in Redis and in what a client is told
 * @param perSecond messages a second of each subject that has no rate of its own, above zero
 * @param now monotonic milliseconds
 */
export function openRateLimit(
  redis: Redis,
  what: 'account' | 'key',
  perSecond: number,
  log: Log,
  now: () => number = () => performance.now(),
): RateLimit {
  const script = defineScript(
    redis,
    'jsms_rate_limit',
    readFileSync(join(import.meta.dirname, 'rate-limit.lua'), 'utf8'),
  );
  const subjects = new Map<string, Subject>();
  let waitingInAll = 0;
  let pausedUntil = 0;

  const subjectOf = (name: string): Subject => {
    let subject = subjects.get(name);
    if (subject === undefined) {
      subject = { perSecond, tokens: 0, takenAt: 0, waiting: [], asking: false, refusedUntil: 0, refusedCount: 0 };
      if (subjects.size >= SUBJECTS_MAX) forgetOne();
      subjects.set(name, subject);
    }
    return subject;
  };
  const forgetOne = (): void => {
    for (const [name, { asking }] of subjects) {
      if (asking) continue;
      subjects.delete(name);
      return;
    }
  };
  const next = (subject: Subject): Waiting => {
    waitingInAll -= 1;
    return subject.waiting.shift() as Waiting;
  };

  const askOnce = async (name: string, subject: Subject): Promise<void> => {
    const [head] = subject.waiting as [Waiting];
    const behind = subject.waiting.reduce((sum, { count }) => sum + count, 0) - head.count;
    const back = subject.tokens;
    subject.tokens = 0;
    const rate = subject.perSecond;
    const ahead = Math.floor(rate * AHEAD);
    const reply = script(`limit:${what}:${name}`, rate, back, head.count, behind + ahead) as Promise<[number, number]>;
    const [granted, waitMs] = await within(ANSWER_WITHIN_MS, reply, 'Redis did not answer in time');
    const at = now();
    if (granted === 0) {
      subject.refusedUntil = at + waitMs;
      subject.refusedCount = head.count;
      const refused = subject.waiting.filter(({ count }) => count >= head.count);
      subject.waiting = subject.waiting.filter(({ count }) => count < head.count);
      waitingInAll -= refused.length;
      for (const { reject } of refused) reject(refusal(what, waitMs));
      return;
    }
    subject.tokens = granted;
    subject.takenAt = at;
    while (subject.waiting.length > 0 && (subject.waiting[0] as Waiting).count <= subject.tokens) {
      const { count, resolve } = next(subject);
      subject.tokens -= count;
      resolve();
    }
  };
  const ask = async (name: string, subject: Subject): Promise<void> => {
    if (subject.asking) return;
    subject.asking = true;
    try {
      while (subject.waiting.length > 0) await askOnce(name, subject);
    } catch (thrown) {
      log.debug('rate_unknown', { of: what, ...errorFields(thrown) });
      pausedUntil = now() + PAUSE_MS;
      while (subject.waiting.length > 0) next(subject).reject(unavailable(thrown));
    } finally {
      subject.asking = false;
    }
  };

  return {
    take: (name, count, rate = perSecond) => {
      const subject = subjectOf(name);
      subject.perSecond = rate;
      const at = now();
      if (subject.waiting.length === 0 && subject.tokens >= count && at - subject.takenAt <= STALE_MS) {
        subject.tokens -= count;
        return;
      }
      if (at < subject.refusedUntil && count >= subject.refusedCount) throw refusal(what, subject.refusedUntil - at);
      if (at < pausedUntil || waitingInAll >= WAITING_MAX) throw unavailable();
      return new Promise<void>((resolve, reject) => {
        subject.waiting.push({ count, resolve, reject });
        waitingInAll += 1;
        void ask(name, subject);
      });
    },
    giveBack: (name, count) => {
      subjectOf(name).tokens += count;
    },
  };
}
