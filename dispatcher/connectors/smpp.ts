/**
 * The SMPP 3.4 connector: several binds at one operator, each with its own window. A message goes over one bind, the one with
 * the most room; its parts' outcomes become one (smpp-outcome.ts). What comes back as deliver_sm becomes a receipt.
 *
 * smpp-session.ts is one connection, smpp-bind.ts keeps one up and holds its window, smpp-sending.ts follows one message,
 * smpp-parts.ts writes it, smpp-deliver.ts takes receipts, smpp-pdu.ts has the bytes, receipt.ts and statuses.ts what the operator means.
 */
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import type { SmppSettings } from '../../shared/sms/operator-smpp.ts';
import type { Connector, ConnectorEvents, ConnectorState, Submission, SubmitOutcome } from '../connector.ts';
import { writeWithinMs } from '../timing.ts';
import type { Clock } from './http.ts';
import { normaliseId } from './receipt.ts';
import { createReferences } from './references.ts';
import { type Bind, type BindEvents, createBind } from './smpp-bind.ts';
import { createDeliveries } from './smpp-deliver.ts';
import { partCount, partsOf } from './smpp-parts.ts';
import { deliverSmResp, type SubmitFields } from './smpp-pdu.ts';
import { createSending } from './smpp-sending.ts';
import type { Role } from './smpp-session.ts';

/** One timer for every timeout, pause and enquiry of the connector; each is late by at most this. */
const TICK_MS = 50;
/** At a close, how long receipts may take to be kept before their links go; the operator sends the rest again. */
const RECEIPTS_CLOSE_MS = 2_000;

/**
 * Starts to connect at once and goes on for ever. Throws when the certificate file of the settings cannot be read.
 * @param events `onReady` is called once per turn of the event loop in which slots came free or a bind was made
 * @param clock for validity and receipts' times; deadlines use the monotonic clock
 */
export function createSmppConnector(
  _name: string,
  settings: SmppSettings,
  events: ConnectorEvents,
  clock: Clock = Date,
): Connector {
  const windowSize = settings.windowSize * settings.binds;
  const references = createReferences();
  const counters: NonNullable<ConnectorState['counters']> = {
    receipts: 0,
    receiptsRefused: 0,
    receiptsIgnored: 0,
    messagesIgnored: 0,
    lateAnswers: 0,
    malformed: 0,
    linksLost: 0,
  };
  const deliveries = createDeliveries(settings, events.onReceipt, references, counters, clock);
  let concatenation = Math.floor(Math.random() * 0x10000);
  let submitting = 0;
  let announcing = false;
  let closed: Promise<void> | null = null;
  let unbindAt = Number.POSITIVE_INFINITY;
  let onLinksClosed: (() => void) | null = null;

  const announce = (): void => {
    if (announcing || closed) return;
    announcing = true;
    setImmediate(() => {
      announcing = false;
      if (!closed && senders.some((bind) => bind.free > 0)) events.onReady();
    });
  };

  const eventsOf = (bind: number, role: Role): BindEvents => ({
    onRoom: announce,
    onDeliver: (frame, sequence, respond) =>
      void deliveries.answer(frame, (status) => respond(deliverSmResp(status, sequence))),
    onLateAnswer: () => void counters.lateAnswers++,
    onLink: (state, reason) => {
      if (state === 'lost') counters.linksLost += 1;
      events.onLink?.({ bind, role, state, reason });
    },
  });
  const trusted = trustedAuthorities(settings);
  const makeBinds = (role: Role, first: number, slots: number): Bind[] =>
    Array.from({ length: settings.binds }, (_, at) =>
      createBind(settings, role, slots, trusted, eventsOf(first + at, role)),
    );
  const paired = settings.bind === 'transmitter_receiver';
  const senders = makeBinds(paired ? 'transmitter' : 'transceiver', 0, settings.windowSize);
  const receivers = paired ? makeBinds('receiver', settings.binds, 0) : [];
  const binds: readonly Bind[] = [...senders, ...receivers];

  const roomiest = (): Bind | null => {
    let best: Bind | null = null;
    for (const bind of senders) if (bind.free > (best?.free ?? 0)) best = bind;
    return best;
  };

  const submit = (submission: Submission): Promise<SubmitOutcome> => {
    if (closed) return Promise.resolve(released('closed', false));
    const bind = roomiest();
    if (!bind) {
      const unbound = !senders.some(({ bound }) => bound);
      return Promise.resolve(released(unbound ? 'not_bound' : 'window_full', unbound));
    }
    const reference = references.open(submission.messageId, submission.to);
    const fields = writeParts(submission, reference);
    if (!fields) {
      references.close(reference, false);
      return Promise.resolve({ kind: 'rejected', error: 'unwritable', wrongNetwork: false, linkFault: false });
    }
    submitting += 1;
    return new Promise((resolve) => {
      const sending = createSending(
        fields,
        bind,
        () => clock.now() < submission.validUntil,
        performance.now() + writeWithinMs(fields.length, settings),
        (outcome) => {
          submitting -= 1;
          references.close(reference, outcome.kind === 'unknown');
          resolve(withOperatorIds(outcome, settings));
        },
      );
      bind.submit(sending.parts);
    });
  };

  const writeParts = (submission: Submission, reference: number): SubmitFields[] | null => {
    concatenation = (concatenation + 1) & 0xffff;
    try {
      return partsOf(submission, settings, reference, concatenation, clock.now());
    } catch (thrown) {
      if (thrown instanceof RangeError) return null;
      throw thrown;
    }
  };

  const tick = (): void => {
    const now = performance.now();
    for (const bind of binds) bind.tick(now);
    if (closed) tickClose(now);
  };

  const tickClose = (now: number): void => {
    if (submitting > 0) return;
    if (unbindAt === Number.POSITIVE_INFINITY) unbindAt = now + RECEIPTS_CLOSE_MS;
    if (deliveries.waiting > 0 && now < unbindAt) return;
    for (const bind of binds) bind.close();
    if (!binds.every(({ state }) => state === 'closed')) return;
    clearInterval(timer);
    onLinksClosed?.();
  };

  const timer = setInterval(tick, TICK_MS);
  tick();

  return {
    windowSize,
    get free() {
      return closed ? 0 : senders.reduce((sum, bind) => sum + bind.free, 0);
    },
    get ready() {
      return !closed && senders.some(({ carries }) => carries);
    },
    slotsOf: (message) => {
      try {
        return Math.max(1, partCount(message, settings));
      } catch {
        // A text that is not what its encoding says: its submit refuses it.
        return 1;
      }
    },
    submit,
    state: () => ({
      connector: 'smpp',
      ready: !closed && senders.some(({ carries }) => carries),
      binds: binds.map(({ role, state, inflight, reconnects, lastError }) => ({
        role,
        state,
        inflight,
        reconnects,
        lastError,
      })),
      inflight: senders.reduce((sum, bind) => sum + bind.inflight, 0),
      windowSize,
      counters: { ...counters },
    }),
    close() {
      closed ??= new Promise((resolve) => {
        onLinksClosed = resolve;
        for (const bind of binds) bind.drain();
      });
      return closed;
    },
  };
}

const released = (error: string, linkFault: boolean): SubmitOutcome => ({ kind: 'released', error, linkFault });

/** Ids in the form in which the receipts' will be. */
function withOperatorIds(outcome: SubmitOutcome, settings: SmppSettings): SubmitOutcome {
  const form = settings.receiptId.response;
  if (form !== 'as_is' && (outcome.kind === 'accepted' || outcome.kind === 'unknown')) {
    outcome.operatorIds = outcome.operatorIds.map((id) => normaliseId(id, form));
  }
  return outcome;
}

/** The system's authorities and the operator's own; undefined leaves it to the runtime. */
function trustedAuthorities({ tls: secure }: SmppSettings): string[] | undefined {
  if (!secure?.caFile) return undefined;
  return [...tls.rootCertificates, readFileSync(secure.caFile, 'utf8')];
}
