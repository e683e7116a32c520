/** One operator of operator.json as it is now: what it is told to be, and what carries its messages. */
import type { OperatorSettings } from '../shared/sms/operators.ts';
import type { Breaker } from './breaker.ts';
import type { Pump } from './pump.ts';
import type { Rate } from './rate.ts';

export type Line = { settings: OperatorSettings; pump: Pump; rate: Rate; breaker: Breaker };
