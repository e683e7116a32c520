/** How long a submit may take at the slowest operator: claims are good for longer than that. */
import type { OperatorSettings, OperatorsFile } from '../shared/sms/operators.ts';

/** Connecting and answering are timed apart; a message of several parts may need a window for each. */
function submitMs(settings: OperatorSettings): number {
  return settings.connector === 'http' ? settings.http.timeoutMs * 2 : settings.smpp.responseTimeoutMs * 2;
}

export const submitMaxMs = ({ operators }: OperatorsFile): number => Math.max(...operators.map(submitMs));
