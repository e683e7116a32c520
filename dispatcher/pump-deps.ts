/** What a pump works with, and what it is told by and tells the operators around it. */
import type { ClaimResult } from '../shared/billing.ts';
import type { Log } from '../shared/log.ts';
import type { OperatorSettings } from '../shared/sms/operators.ts';
import type { Lane } from '../shared/topics.ts';
import type { Breaker } from './breaker.ts';
import type { Connector, SubmitOutcome } from './connector.ts';
import type { GiveWay } from './give-way.ts';
import type { Lease } from './lease.ts';
import type { Rate } from './rate.ts';
import type { Records } from './records.ts';
import type { Settled } from './settle.ts';
import type { Work } from './work.ts';

export type Queued = { lane: Lane; work: Work };
/** `at`: when it was, by the monotonic clock. `slots`: of the window, which its submit will take. */
export type Claimed = Queued & { at: number; slots: number };
/** `taken` by another operator; it `stays` for reasons of its own; `nobody` would take it or one like it now. */
export type Diverted = 'taken' | 'stays' | 'nobody';

export type PumpDeps = {
  settings: OperatorSettings;
  connector: Connector;
  /** Holds it back after it throttled. */
  rate: Rate;
  /** Its tps, shared by all dispatchers. */
  lease: Lease;
  breaker: Breaker;
  records: Records;
  /** Of all operators together: they wait for one billing. */
  giveWay: GiveWay;
  /** Settles an outcome, publishes it and ends the work; never rejects. */
  settle: (work: Work, operator: string, outcome: SubmitOutcome) => Promise<Settled>;
  /** Undoes a claim; never rejects. */
  undo: (work: Work, operator: string) => Promise<void>;
  /** Claims it again after so long. */
  rest: (work: Work, ms: number) => void;
  /** A claim's answer that is not a submit: decided, gone, busy, newer or early. */
  notClaimed: (work: Work, result: ClaimResult) => void;
  /** While the breaker is not closed: another operator may carry it. */
  divert: (lane: Lane, work: Work) => Diverted;
  /** The operator says that the number is another's: what hands the message to the next operator, or null where none may. */
  reroute: (lane: Lane, work: Work) => (() => void) | null;
  /** Told when a lane's queue shrank: partitions may be resumed. */
  onDrained: (lane: Lane, length: number) => void;
  onSubmitted: (operator: string, lane: Lane, outcome: SubmitOutcome, seconds: number) => void;
  log: Log;
};
