/** From a record, as the scripts hand it out, to what is published of it. Pure. */
import type { MessageFlag, StatusEvent } from '../shared/events.ts';
import { ATTEMPTS_MAX } from '../shared/topics.ts';

/** What record.lua's outcome_of answers, in its order. */
export type RecordFields = readonly [
  state: string,
  version: number,
  attempt: number,
  operator: string,
  ids: string,
  posted: string,
  error: string,
  flags: string,
  decidedAt: number,
  dead: number,
  user: string,
  notBefore: number,
  event: string,
];

/** Between the operator's ids of a message's parts: ids may hold anything else. */
export const ID_SEPARATOR = '\n';

export type Publication = {
  /** What confirms it: the version, or 0 for a decision, which stands. */
  confirm: number;
  /** A StatusEvent in JSON. */
  outcome: string;
  /** A RetryEvent in JSON when the message waits for its next attempt, else empty. */
  retry: string;
  /** The retry that waits, 1 to 3; 0 when none does. */
  retryNumber: number;
  operator: string;
};

/** A record's state as the report calls it; a claim is nobody's business. */
export const STATUS: Readonly<Record<string, StatusEvent['status']>> = {
  held: 'retrying',
  unknown: 'unknown',
  sent: 'sent',
  failed: 'failed',
};

/** What is to be published of a record; null for one that was only held or claimed. */
export function publicationOf(id: string, fields: RecordFields): Publication | null {
  const [state, version, attempt, operator, ids, posted, error, flags, decidedAt, dead, user, notBefore, event] =
    fields;
  const status = STATUS[state];
  if (status === undefined || version === 0) return null;
  const retrying = status === 'retrying';
  const outcome: StatusEvent = {
    kind: 'status',
    id,
    user_id: user,
    status,
    version,
    attempt: retrying ? attempt - 1 : attempt,
    operator,
    operator_ids: ids === '' ? [] : ids.split(ID_SEPARATOR),
    posted: Number(posted),
    error: error === '' ? null : error,
    flags: flags === '' ? [] : (flags.split(',') as MessageFlag[]),
    at: decidedAt,
    dead: dead === 1,
  };
  return {
    confirm: status === 'sent' || status === 'failed' ? 0 : version,
    outcome: JSON.stringify(outcome),
    retry: retrying
      ? withAttempt(event, attempt, notBefore, outcome.flags.includes('perhaps_double') ? operator : '')
      : '',
    retryNumber: retrying ? Math.min(attempt - 1, ATTEMPTS_MAX - 1) : 0,
    operator,
  };
}

/** The message's event with the attempt it waits for, without parsing it: the event is a JSON object of ours. */
function withAttempt(event: string, attempt: number, notBefore: number, pinned: string): string {
  const pin = pinned === '' ? '' : `,"pinned":${JSON.stringify(pinned)}`;
  return `${event.slice(0, -1)},"attempt":${attempt},"not_before":${notBefore}${pin}}`;
}
