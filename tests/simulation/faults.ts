/**
 * What may go wrong in one history, and how often. Each history draws its own: most faults are off in most of them, so that
 * a few are tried hard together rather than all of them a little.
 */
import { type Process, WORLD } from './clock.ts';
import type { Random } from './random.ts';

export type Faults = {
  /** Calls to billing: no connection; the request is lost; the answer is lost. */
  callRefused: number;
  callLost: number;
  answerLost: number;
  /** Calls that take seconds, so that they come after their caller gave them up. */
  callSlow: number;
  /** Billing to Redis: refused before any effect; the answer is lost; runs after its caller gave it up. */
  redisRefused: number;
  redisAnswerLost: number;
  redisLate: number;
  /** A full Redis refuses holds and top-ups. */
  redisFull: number;
  /** Kafka: not taken; taken, and the ack is lost; taken twice; taken late. */
  produceDropped: number;
  ackLost: number;
  doubled: number;
  produceSlow: number;
  /** Records reach their consumer seconds late. */
  deliverySlow: number;
  commitLost: number;
  /** A submit's outcomes; what is left is accepted. */
  rejected: number;
  wrongNetwork: number;
  transient: number;
  throttled: number;
  released: number;
  partial: number;
  /** No answer: it arrived, or not. */
  unknownTaken: number;
  unknownLost: number;
  submitSlow: number;
  receiptMissing: number;
  receiptDoubled: number;
  receiptEarly: number;
  /** A second, over all processes. */
  killsPerS: number;
  /** A process dies right after one of its effects: a script, a produce, a call, a submit. */
  killAfterEffect: number;
  freezesPerS: number;
  rebalancesPerS: number;
  /** Processes that leave in good order. */
  leavesPerS: number;
};

type Name = keyof Faults;

/** How often a fault happens where it is on, at most. */
const MOST: Readonly<Record<Name, number>> = {
  callRefused: 0.2,
  callLost: 0.2,
  answerLost: 0.25,
  callSlow: 0.15,
  redisRefused: 0.15,
  redisAnswerLost: 0.15,
  redisLate: 0.1,
  redisFull: 0.3,
  produceDropped: 0.4,
  ackLost: 0.3,
  doubled: 0.3,
  produceSlow: 0.3,
  deliverySlow: 0.3,
  commitLost: 0.5,
  rejected: 0.2,
  wrongNetwork: 0.2,
  transient: 0.6,
  throttled: 0.2,
  released: 0.2,
  partial: 0.2,
  unknownTaken: 0.4,
  unknownLost: 0.4,
  submitSlow: 0.3,
  receiptMissing: 0.5,
  receiptDoubled: 0.5,
  receiptEarly: 0.5,
  killsPerS: 0.4,
  killAfterEffect: 0.03,
  freezesPerS: 0.2,
  rebalancesPerS: 0.4,
  leavesPerS: 0.1,
};

/** What goes wrong now: a history's faults until they stop, and outages of whole servers. */
export type Weather = {
  random: Random;
  faults: Faults;
  /** Until these instants nobody is there; epoch milliseconds. */
  kafkaAwayUntil: number;
  redisAwayUntil: number;
  postgresAwayUntil: number;
  operatorAwayUntil: number;
  /** Which operator that is. */
  operatorAway: string;
  /** Ends a process at once. */
  kill: (process: Process) => void;
};

/** What a process does after its effect; a dead one does nothing any more, also not in the turn that is going on. */
export function survives(weather: Weather, process: Process): boolean {
  if (!process.alive) return false;
  if (process !== WORLD && weather.random.chance(weather.faults.killAfterEffect)) weather.kill(process);
  return process.alive;
}

export const NEVER: Promise<never> = new Promise(() => undefined);

export const NO_FAULTS: Faults = Object.fromEntries(Object.keys(MOST).map((name) => [name, 0])) as Faults;

export function drawFaults(random: Random): Faults {
  const on = random.pick([0.1, 0.2, 0.35, 0.6]);
  const drawn = { ...NO_FAULTS };
  for (const name of Object.keys(MOST) as Name[]) {
    if (random.chance(on)) drawn[name] = MOST[name] * random.float();
  }
  return drawn;
}
