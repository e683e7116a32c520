/** One operator behind both of its doors: its dials, what it decides, and what it remembers. */
import { type Counters, createCounters, createPerSecond, createThrottle, type PerSecond } from './counters.ts';
import { type Dials, type DialsPatch, turnDials } from './dials.ts';
import { e164 } from './number.ts';
import { createRecords, type Records } from './records.ts';
import { draw } from './rng.ts';
import { ACCEPT, compileRules, type Outcome, THROTTLE, type Verdict } from './rules.ts';
import { createTally, type Tally } from './tally.ts';

/** Messages listed by name as accepted more than once. */
const DOUBLED_LISTED_MAX = 100_000;
const TALLY_MAX = 1_000_000;

export type IdForm = Dials['id_form'];

/** An operator's id as its answers (`response`) or its receipts write it. */
export function writeId(id: number, form: IdForm, place: 'response' | 'receipt'): string {
  const hex = form === 'hex' || form === (place === 'response' ? 'hex_then_decimal' : 'decimal_then_hex');
  return hex ? id.toString(16) : String(id);
}

export type Operator = {
  readonly name: string;
  readonly dials: Dials;
  readonly counters: Counters;
  readonly perSecond: PerSecond;
  readonly records: Records;
  readonly tally: Tally;
  /** Rises with each reset, so that what was planned before it knows that it is stale. */
  readonly era: number;
  turn(change: DialsPatch): Dials;
  reset(): void;
  /** Hears of each change of dials and of each reset. Returns the way to stop hearing. */
  onTurn(listener: () => void): () => void;
  /** Runs at once, or when the operator is no longer frozen. */
  whenThawed(run: () => void): void;
  /** What becomes of a submit, the rate included. Without a message id its tries are counted by number and part. */
  judge(to: string, messageId: string, part: number, nowMs: number): Verdict;
  /** An id that no earlier run of the simulator has given either. */
  nextId(): number;
  /** Counts an accepted submit. */
  countAccepted(nowMs: number): void;
  /** Counts the acceptance of a whole message, and of one that was accepted before by its name. */
  countMessage(acceptedBefore: number, acceptedNow: number, describe: () => string): void;
  /** How long this answer takes, milliseconds. */
  latencyMs(): number;
  /** Messages accepted more than once, by message id, or by number and text where they carry none. */
  doubled(): Record<string, number>;
};

/** Whether the submit counts as accepted, whatever the sender learns of it. */
export const accepts = (outcome: Outcome): boolean =>
  outcome === 'accept' || outcome === 'silent' || outcome === 'disconnect_after';

/** Counts what is not accepted, and what is accepted without a word. */
export function countOutcome(counters: Counters, outcome: Outcome): void {
  if (outcome === 'reject') counters.rejected++;
  else if (outcome === 'transient') counters.transient++;
  else if (outcome === 'throttle') counters.throttled++;
  else if (outcome === 'unauthorized') counters.unauthorized++;
  else if (outcome === 'wrong_network') counters.wrong_network++;
  else if (outcome === 'silent' || outcome === 'silent_drop') counters.silent++;
  else if (outcome === 'disconnect_before' || outcome === 'disconnect_after') counters.dropped++;
}

/** @param first the dials it starts with and returns to at a reset */
export function createOperator(name: string, first: Dials, recordsMax: number): Operator {
  let dials = first;
  let decide = compileRules(dials.rules, dials.seed);
  let throttle = createThrottle();
  let era = 0;
  let answers = 0;
  // The report knows messages by (operator, id) for days: a restarted simulator must not give an id again.
  let lastId = Date.now() * 4096;
  const counters = createCounters();
  const perSecond = createPerSecond();
  const records = createRecords(recordsMax);
  const tally = createTally(TALLY_MAX);
  const doubled = new Map<string, number>();
  const listeners = new Set<() => void>();

  const apply = (next: Dials): void => {
    if (next.rules !== dials.rules || next.seed !== dials.seed) decide = compileRules(next.rules, next.seed);
    dials = next;
    for (const listener of [...listeners]) listener();
  };

  const onTurn = (listener: () => void): (() => void) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };

  return {
    name,
    get dials() {
      return dials;
    },
    counters,
    perSecond,
    records,
    tally,
    get era() {
      return era;
    },
    turn: (change) => {
      apply(turnDials(dials, change));
      return dials;
    },
    reset: () => {
      era++;
      records.clear();
      tally.clear();
      perSecond.clear();
      doubled.clear();
      Object.assign(counters, createCounters());
      throttle = createThrottle();
      answers = 0;
      decide = compileRules(first.rules, first.seed);
      apply(first);
    },
    onTurn,
    whenThawed: (run) => {
      if (!dials.freeze) {
        run();
        return;
      }
      const stop = onTurn(() => {
        if (dials.freeze) return;
        stop();
        run();
      });
    },
    judge: (to, messageId, part, nowMs) => {
      if (dials.throttle_tps !== 0 && !throttle.admits(dials.throttle_tps, nowMs)) return THROTTLE;
      return dials.rules.length === 0 ? ACCEPT : decide(e164(to), messageId || `${to}#${part}`, part);
    },
    nextId: () => ++lastId,
    countAccepted: (nowMs) => {
      counters.accepted++;
      perSecond.count(nowMs);
    },
    countMessage: (acceptedBefore, acceptedNow, describe) => {
      counters.messages += acceptedNow;
      const total = acceptedBefore + acceptedNow;
      if (total < 2) return;
      counters.doubled += acceptedBefore === 0 ? acceptedNow - 1 : acceptedNow;
      const described = describe();
      if (doubled.size < DOUBLED_LISTED_MAX || doubled.has(described)) doubled.set(described, total);
    },
    latencyMs: () =>
      dials.latency_jitter_ms === 0
        ? dials.latency_ms
        : dials.latency_ms + Math.floor(draw(dials.seed, 'latency', answers++) * (dials.latency_jitter_ms + 1)),
    doubled: () => Object.fromEntries(doubled),
  };
}
