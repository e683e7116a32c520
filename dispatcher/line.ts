/** One operator of operator.json as it is now: what it is told to be, and what carries its messages. */
import type { OperatorSettings } from '../shared/sms/operators.ts';
import type { Breaker } from './breaker.ts';
import type { ConnectorState } from './connector.ts';
import type { Pump } from './pump.ts';
import type { Rate } from './rate.ts';

export type Line = { settings: OperatorSettings; pump: Pump; rate: Rate; breaker: Breaker };

/** Pages a second that may go now: `tps` (of all dispatchers), or less after throttling (of this one). 0 is unlimited. */
export function rateNow({ settings, rate }: Pick<Line, 'settings' | 'rate'>, nowMs: number): number {
  const limits = [settings.tps, rate.perSecond(nowMs)].filter((limit) => limit > 0);
  return limits.length === 0 ? 0 : Math.min(...limits);
}

/** Receipts can come: over a bind that receives and stands, or to our own door (HTTP). */
export const isReceiving = ({ connector, binds }: ConnectorState): boolean =>
  connector === 'http' || binds.some(({ role, state }) => role !== 'transmitter' && state === 'bound');
