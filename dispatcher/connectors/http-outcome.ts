/**
 * What an HTTP operator's status means for the message (DESIGN.md, outcomes at an operator). A pure table, so that an operator
 * whose API differs is a line in operator.json.
 */
import type { OutcomeClass, StatusOverrides } from '../../shared/sms/operators.ts';
import type { SubmitOutcome } from '../connector.ts';
import type { HttpAnswer } from './http-answer.ts';

export type HttpOutcomeRules = {
  /** Status → outcome, before everything else; e.g. 404 of an API that answers it for unknown numbers. */
  statuses: StatusOverrides;
  /** Statuses that say "this number belongs to another operator now". */
  wrongNetwork: readonly number[];
  /** Path of the operator's id in the JSON answer, split at its dots. */
  idPath: readonly string[];
};

/** An operator that asks for more is asked again no later than this. */
export const RETRY_AFTER_MAX_MS = 300_000;
/** An id longer than this is none of ours to keep. */
const OPERATOR_ID_MAX_LENGTH = 128;

export function outcomeKind(status: number, rules: HttpOutcomeRules): OutcomeClass {
  const overridden = rules.statuses[String(status)];
  if (overridden) return overridden;
  if (rules.wrongNetwork.includes(status)) return 'rejected';
  if (status >= 200 && status <= 299) return 'accepted';
  if (status === 408 || status === 429) return 'throttled';
  // Refused for who asks, and redirected elsewhere: the link is set up wrongly, the message is as good as before.
  if (status === 401 || status === 403 || (status >= 300 && status <= 399)) return 'transient';
  if (status >= 400 && status <= 499) return 'rejected';
  if (status === 503) return 'transient';
  return 'unknown';
}

/**
 * The link set up wrongly (who asks, and where), or the operator's front saying that nothing answers behind it. A 500 or 503 may be of
 * this message alone, so it does not feed the breaker.
 */
const isLinkStatus = (status: number): boolean =>
  status < 400 || status === 401 || status === 403 || status === 502 || status === 504;

/** @param now epoch milliseconds, for a Retry-After that is a date */
export function httpOutcome(answer: HttpAnswer, parts: number, rules: HttpOutcomeRules, now: number): SubmitOutcome {
  const { status } = answer;
  const kind = outcomeKind(status, rules);
  const error = `http_${status}`;
  switch (kind) {
    case 'accepted': {
      const id = readOperatorId(answer.body, rules.idPath);
      return { kind, operatorIds: id === null ? [] : [id], acceptedParts: parts, parts, linkFault: false };
    }
    case 'rejected':
      return { kind, error, wrongNetwork: rules.wrongNetwork.includes(status), linkFault: false };
    case 'throttled': {
      const retryAfterMs = readRetryAfter(answer.retryAfter, now);
      return retryAfterMs === null
        ? { kind, error, linkFault: false }
        : { kind, error, retryAfterMs, linkFault: false };
    }
    case 'transient':
      return { kind, error, linkFault: isLinkStatus(status) };
    case 'unknown':
      return { kind, error, operatorIds: [], linkFault: isLinkStatus(status) };
  }
}

/** @returns milliseconds to wait, bounded; null where the header is absent or unreadable */
export function readRetryAfter(header: string | null, now: number): number | null {
  if (header === null) return null;
  const text = header.trim();
  const waitMs = /^[0-9]{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isNaN(waitMs) ? null : Math.min(Math.max(waitMs, 0), RETRY_AFTER_MAX_MS);
}

/**
 * The operator's id at a dotted path of a JSON answer; array positions are numbers (`messages.0.id`).
 * @returns null when the body is not JSON or holds no text or number there: an accepted message without an id is accepted
 */
export function readOperatorId(body: string, path: readonly string[]): string | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null;
  }
  for (const key of path) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, key)) return null;
    value = (value as Record<string, unknown>)[key];
  }
  const id = typeof value === 'number' ? exactDigits(value, body) : value;
  return typeof id === 'string' && id.length > 0 && id.length <= OPERATOR_ID_MAX_LENGTH ? id : null;
}

/** An id above 2^53 loses its last digits in JSON.parse; the receipt will carry all of them. */
function exactDigits(value: number, body: string): string {
  if (Number.isSafeInteger(value)) return String(value);
  return body.match(/[0-9]{16,}/g)?.find((digits) => Number(digits) === value) ?? String(value);
}
