/** Opens what carries an operator's messages: its connector, its rate, its breaker, and the pump between them. */
import { ClaimCode } from '../shared/billing.ts';
import { errorFields, type Log } from '../shared/log.ts';
import type { PortedNumbers } from '../shared/ported.ts';
import type { OperatorSettings } from '../shared/sms/operators.ts';
import type { Lane } from '../shared/topics.ts';
import { createBreaker } from './breaker.ts';
import { breakerLog } from './change-log.ts';
import type { Connector, ConnectorEvents, SubmitOutcome } from './connector.ts';
import type { GiveWay } from './give-way.ts';
import { learnPorted } from './learn.ts';
import type { Leases } from './lease.ts';
import type { Line } from './line.ts';
import { createPump, type Pump } from './pump.ts';
import { createRate } from './rate.ts';
import type { PublishReceipt } from './receipts.ts';
import type { Records } from './records.ts';
import { passBy, type SettleDeps, settleOutcome, undoClaim } from './settle.ts';
import type { StandIns } from './stand-in.ts';
import type { Work } from './work.ts';

export type LineDeps = {
  records: Records;
  connect: (settings: OperatorSettings, events: ConnectorEvents) => Connector;
  leases: Leases;
  ported: PortedNumbers;
  /** How long a learned number is remembered, milliseconds. */
  learnedForMs: number;
  onReceipt: PublishReceipt;
  onSubmitted: (operator: string, lane: Lane, outcome: SubmitOutcome, seconds: number) => void;
  log: Log;
};

/** What the operators have together. */
export type AroundLines = {
  settleDeps: SettleDeps;
  giveWay: GiveWay;
  standIns: StandIns;
  /** The message comes again after so long. */
  rest: (work: Work, ms: number) => void;
  /** An operator's queue shrank to this length. */
  onDrained: (operator: string, lane: Lane, length: number) => void;
};

/** Throws when the operator's connector cannot be made. */
export function openLine(deps: LineDeps, around: AroundLines, settings: OperatorSettings): Line {
  const { records, ported, learnedForMs, log } = deps;
  const { settleDeps, giveWay, standIns, rest } = around;
  const { name } = settings;
  const rate = createRate();
  const breaker = createBreaker(settings.breaker, breakerLog(log, name));
  const connector = deps.connect(settings, {
    onReady: () => pump?.wake(),
    onReceipt: (receipt) => deps.onReceipt(name, receipt),
  });
  const lease = deps.leases.open(
    name,
    settings.tps,
    () => pump.waiting(),
    () => pump.wake(),
  );
  const pump: Pump = createPump({
    settings,
    connector,
    rate,
    lease,
    breaker,
    records,
    giveWay,
    settle: (work, operator, outcome) => {
      learnPorted(ported, learnedForMs, work, operator, outcome)?.catch((thrown) =>
        log.warn('ported_number_not_kept', { message_id: work.event.id, ...errorFields(thrown) }),
      );
      return settleOutcome(settleDeps, work, operator, outcome);
    },
    undo: (work, operator) => undoClaim(settleDeps, work, operator),
    rest,
    notClaimed: (work, result) => {
      if (result.code === ClaimCode.EARLY) rest(work, result.not_before);
      else void passBy(settleDeps, work, result);
    },
    divert: (lane, work) => standIns.divert(name, lane, work),
    reroute: (lane, work) => standIns.reroute(name, lane, work),
    onDrained: (lane, length) => {
      around.onDrained(name, lane, length);
      standIns.drained(connector, length);
    },
    onSubmitted: deps.onSubmitted,
    log,
  });
  return { settings, pump, rate, breaker };
}
