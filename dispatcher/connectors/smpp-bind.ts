/**
 * One bind that is kept up: a session, and after it the next one, with growing pauses and jitter. It holds the send window, and
 * when a link is lost it says of each part what is true: written and unanswered is `unknown`, not yet written is `unwritten`.
 */

import type { SmppSettings } from '../../shared/sms/operator-smpp.ts';
import type { OutcomeClass } from '../../shared/sms/operators.ts';
import type { LinkChange } from '../connector.ts';
import type { PartOutcome } from './smpp-outcome.ts';
import { Command, type Header, submitSm, submitSmRespId } from './smpp-pdu.ts';
import type { Carrier, SubmitPart } from './smpp-sending.ts';
import { openSession, type Role, type Session } from './smpp-session.ts';
import { isLinkStatus, statusClass, statusWord } from './statuses.ts';

/** A link that held this long, or that answered a submit, was a good one: the pauses begin anew. */
const STEADY_MS = 10_000;
/** While it closes: the pause before parts that failed are sent again. */
const LAST_PAUSE_MS = 500;
const COMPLETE_WITHIN_MS = 3_000;

export type BindEvents = {
  /** Bound, or slots came free. */
  onRoom(): void;
  /** @param respond sends the answer, if the session still lives */
  onDeliver(frame: Buffer, sequence: number, respond: (frame: Buffer) => void): void;
  onLateAnswer(): void;
  /** Its link was made, was lost, or could not be made. */
  onLink(state: LinkChange['state'], reason: string | null): void;
};

export type Bind = Carrier & {
  readonly role: Role;
  /** May be given a message. */
  readonly carries: boolean;
  /** Parts that wait or are unanswered. */
  readonly inflight: number;
  readonly free: number;
  readonly state: 'connecting' | 'bound' | 'waiting' | 'closed';
  readonly reconnects: number;
  readonly lastError: string | null;
  submit(parts: readonly SubmitPart[]): void;
  tick(nowMs: number): void;
  /** No message is taken any more, and the rest of one that is in pieces does not wait long for its next try. */
  drain(): void;
  /** Unbinds. */
  close(): void;
};

/** @param windowSize unanswered submits at once; 0 for a receiver */
export function createBind(
  settings: SmppSettings,
  role: Role,
  windowSize: number,
  trusted: readonly string[] | undefined,
  events: BindEvents,
): Bind {
  let session: Session | null = null;
  let queue: SubmitPart[] = [];
  let written: SubmitPart[] = [];
  let delayed: { parts: SubmitPart[]; at: number }[] = [];
  const inflight = new Map<number, SubmitPart>();
  let attempts = 0;
  let retryAt = 0;
  /** Monotonic; 0 while this session has not been bound. */
  let boundAt = 0;
  let reconnects = 0;
  let lastError: string | null = null;
  let draining = false;
  /** While it closes: until then messages in pieces are completed. */
  let completeBy = Number.POSITIVE_INFINITY;
  let closing = false;
  /** The operator says that we are not bound: what is in flight may end, then the link is made anew. */
  let stale = false;

  const carries = (): boolean => session?.bound === true && !draining && !stale;

  const pump = (): void => {
    if (!session?.bound || stale) return;
    while (queue.length > 0 && inflight.size < windowSize) {
      const part = queue.shift() as SubmitPart;
      const reason = part.sending.withheld();
      if (reason) {
        part.sending.settle(part, { kind: 'unwritten', error: reason, linkFault: false });
        continue;
      }
      const sequence = session.nextSequence();
      part.writtenAt = 0;
      inflight.set(sequence, part);
      written.push(part);
      session.send(submitSm(sequence, part.fields));
    }
  };

  const onAnswer = (header: Header, frame: Buffer): void => {
    const part = inflight.get(header.sequence);
    if (!part || part.writtenAt === 0) {
      events.onLateAnswer();
      return;
    }
    inflight.delete(header.sequence);
    attempts = 0;
    // A generic_nack refuses the PDU, even where it claims that all is well.
    const refused = header.command === Command.genericNack && header.status === 0;
    const answer = refused ? REFUSED : answerOutcome(header.status, frame, settings);
    if (isLinkStatus(header.status)) stale = true;
    part.sending.settle(part, answer);
    pump();
    events.onRoom();
  };

  const onClosed = (error: string): void => {
    const lost = [...inflight.values()];
    const waiting = [...queue, ...delayed.flatMap(({ parts }) => parts)];
    inflight.clear();
    queue = [];
    delayed = [];
    written = [];
    session = null;
    stale = false;
    if (!closing) {
      lastError = error;
      const now = performance.now();
      const wasBound = boundAt > 0;
      if (wasBound && now - boundAt >= STEADY_MS) attempts = 0;
      const pauseMs = Math.min(settings.reconnect.maxMs, settings.reconnect.minMs * 2 ** Math.min(attempts, 20));
      attempts += 1;
      // Half of it is random: after an operator's restart its clients must not come back in step.
      retryAt = now + pauseMs * (0.5 + Math.random() / 2);
      events.onLink(wasBound ? 'lost' : 'refused', error);
    }
    for (const part of lost) {
      part.sending.settle(part, {
        kind: part.writtenAt > 0 ? 'unknown' : 'unwritten',
        error: 'connection_lost',
        linkFault: true,
      });
    }
    for (const part of waiting) part.sending.settle(part, LOST);
  };

  const open = (): void => {
    if (attempts > 0) reconnects += 1;
    boundAt = 0;
    session = openSession(settings, role, trusted, {
      onBound: () => {
        boundAt = performance.now();
        lastError = null;
        events.onLink('made', null);
        pump();
        events.onRoom();
      },
      onAnswer,
      onDeliver: (frame, sequence) => {
        const { send } = session as Session;
        events.onDeliver(frame, sequence, send);
      },
      onWrite: (now) => {
        for (const part of written) part.writtenAt = now;
        written = [];
      },
      onClosed,
    });
  };

  /** Parts are in the order of their writing, so the first that is young enough ends the search. */
  const expire = (now: number): void => {
    let expired = false;
    for (const [sequence, part] of inflight) {
      if (part.writtenAt === 0 || now - part.writtenAt < settings.responseTimeoutMs) break;
      inflight.delete(sequence);
      expired = true;
      part.sending.settle(part, { kind: 'unknown', error: 'no_answer', linkFault: true });
    }
    if (!expired) return;
    pump();
    events.onRoom();
  };

  const resume = (now: number): void => {
    if (delayed.length === 0) return;
    const due = delayed.filter(({ at }) => now >= at);
    if (due.length === 0) return;
    delayed = delayed.filter(({ at }) => now < at);
    // The rest of a message that is in pieces goes before new ones.
    queue.unshift(...due.flatMap(({ parts }) => parts));
    pump();
  };

  return {
    role,
    get carries() {
      return carries();
    },
    get bound() {
      return session?.bound === true && !stale && performance.now() < completeBy;
    },
    get inflight() {
      return inflight.size + queue.length;
    },
    get free() {
      return carries() ? Math.max(0, windowSize - inflight.size - queue.length) : 0;
    },
    get state() {
      if (closing && !session) return 'closed';
      if (session) return session.bound ? 'bound' : 'connecting';
      return 'waiting';
    },
    get reconnects() {
      return reconnects;
    },
    get lastError() {
      return lastError;
    },
    submit: (parts) => {
      queue.push(...parts);
      pump();
    },
    later: (parts, pauseMs) => {
      delayed.push({ parts, at: performance.now() + (draining ? Math.min(pauseMs, LAST_PAUSE_MS) : pauseMs) });
    },
    tick: (now) => {
      if (!session) {
        if (!closing && now >= retryAt) open();
        return;
      }
      expire(now);
      resume(now);
      if (stale && inflight.size === 0) session.unbind();
      session?.tick(now);
    },
    drain: () => {
      draining = true;
      completeBy = performance.now() + COMPLETE_WITHIN_MS;
      const soon = performance.now() + LAST_PAUSE_MS;
      for (const wait of delayed) wait.at = Math.min(wait.at, soon);
    },
    close: () => {
      closing = true;
      session?.unbind();
    },
  };
}

const LOST: PartOutcome = { kind: 'unwritten', error: 'connection_lost', linkFault: true };
const REFUSED: PartOutcome = { kind: 'rejected', error: 'generic_nack', wrongNetwork: false };

function answerOutcome(status: number, frame: Buffer, settings: SmppSettings): PartOutcome {
  const error = statusWord(status);
  const wrongNetwork = settings.wrongNetwork.includes(status);
  const kind: OutcomeClass = wrongNetwork
    ? (settings.statuses[String(status)] ?? 'rejected')
    : statusClass(status, settings.statuses);
  switch (kind) {
    case 'accepted':
      return { kind, operatorId: submitSmRespId(frame) };
    case 'rejected':
      return { kind, error, wrongNetwork };
    case 'throttled':
      return { kind, error };
    case 'transient':
      return { kind, error, linkFault: isLinkStatus(status) };
    case 'unknown':
      return { kind, error, linkFault: false };
  }
}
