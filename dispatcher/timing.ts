/** How long a submit may take: claims are good for longer than that. */
import type { SmppSettings } from '../shared/sms/operator-smpp.ts';
import type { OperatorSettings } from '../shared/sms/operators.ts';

/** A message of more parts than this is written as far as the time of so many lets it. */
const PARTS_MOST = 10;

/** A bind whose window is narrower than a message needs answers, one response timeout each at most, before all parts are written. */
const roundsOf = (parts: number, { windowSize }: SmppSettings): number =>
  Math.ceil(Math.min(parts, PARTS_MOST) / windowSize);

/** After its first part, within this the last one is written or none is any more, milliseconds. */
export const writeWithinMs = (parts: number, settings: SmppSettings): number =>
  roundsOf(parts, settings) * settings.responseTimeoutMs;

/** Connecting and answering are timed apart; the last part that is written has its response timeout as well. */
function submitMs(settings: OperatorSettings): number {
  if (settings.connector === 'http') return settings.http.timeoutMs * 2;
  return writeWithinMs(PARTS_MOST, settings.smpp) + settings.smpp.responseTimeoutMs;
}

/** The slowest operator's. */
export const submitMaxMs = (operators: readonly OperatorSettings[]): number => Math.max(...operators.map(submitMs));
