/**
 * The operators of a history, and the connectors of the dispatchers to them. An operator takes, refuses, throttles or says
 * nothing; its receipts come late, early, twice or never. What it took is written down: that is what the handsets got.
 */
import type { Connector, ConnectorEvents, Submission, SubmitOutcome } from '../../dispatcher/connector.ts';
import type { OperatorSettings } from '../../shared/sms/operators.ts';
import { after, type Process, WORLD, worldNow } from './clock.ts';
import { NEVER, survives, type Weather } from './faults.ts';

/** What one submit came to at the operator. */
export type Submit = {
  id: string;
  attempt: number;
  operator: string;
  process: string;
  at: number;
  /** The operator has the message, once more. */
  taken: boolean;
  /**
   * What the dispatcher was told; null when nothing came, or nobody was there to hear it. `wrong_network` is a refusal after
   * which the claim is undone, or, for a message that was rerouted before, the end.
   */
  told: SubmitOutcome['kind'] | 'wrong_network' | null;
};

export type Operators = {
  submits: Submit[];
  /** Submits and receipts that are still on their way. */
  underway(): number;
  connect(process: Process, settings: OperatorSettings, events: ConnectorEvents): Connector;
};

/** @param onSubmit told when a dispatcher begins a submit, before anything leaves it */
export function createOperators(weather: Weather, onSubmit: (submit: Submit) => void): Operators {
  const { random } = weather;
  const submits: Submit[] = [];
  /** What removes doubles by our id, by operator. */
  const known = new Map<string, Set<string>>();
  const links = new Map<string, { process: Process; events: ConnectorEvents }[]>();
  let serial = 0;
  let underway = 0;

  const later = (ms: number, run: () => void): void => {
    underway += 1;
    after(ms, WORLD, () => {
      underway -= 1;
      run();
    });
  };

  /** Through any link that stands; one that is refused comes again. */
  const receipt = (settings: OperatorSettings, submission: Submission, operatorId: string, tries: number): void => {
    const standing = (links.get(settings.name) ?? []).filter(({ process }) => process.alive);
    if (standing.length === 0) {
      if (tries > 0) later(2_000, () => receipt(settings, submission, operatorId, tries - 1));
      return;
    }
    const { process, events } = random.pick(standing);
    const echoes = settings.name === 'MTN';
    const report = {
      operatorId,
      ...(echoes ? { messageId: submission.messageId } : {}),
      phone: submission.to,
      status: random.chance(0.7) ? ('delivered' as const) : ('undelivered' as const),
      error: null,
      at: worldNow(),
    };
    after(1, process, () => {
      Promise.resolve(events.onReceipt(report)).catch(() => {
        if (tries > 0) later(2_000, () => receipt(settings, submission, operatorId, tries - 1));
      });
    });
  };

  /** The operator has it: its id, and what receipts follow. */
  const take = (settings: OperatorSettings, submission: Submission, submit: Submit): string[] => {
    const { faults } = weather;
    const seen = known.get(settings.name) ?? new Set();
    known.set(settings.name, seen);
    // The one that is told to send again after an unknown removes doubles by our id, as DESIGN.md wants it.
    const again = settings.name === 'Rightel' && seen.has(submission.messageId);
    seen.add(submission.messageId);
    submit.taken = !again;
    serial += 1;
    const ids = Array.from({ length: submission.pages }, (_, part) => `${settings.name}-${serial}-${part}`);
    for (const id of ids) {
      if (again || random.chance(faults.receiptMissing)) continue;
      const wait = random.chance(faults.receiptEarly) ? 0 : random.between(20, 15_000);
      later(wait, () => receipt(settings, submission, id, 3));
      if (random.chance(faults.receiptDoubled))
        later(wait + random.between(1, 5_000), () => receipt(settings, submission, id, 3));
    }
    return ids;
  };

  const decide = (settings: OperatorSettings, submission: Submission, submit: Submit): SubmitOutcome | null => {
    const { faults } = weather;
    if (settings.name === weather.operatorAway && weather.operatorAwayUntil > worldNow())
      return { kind: 'transient', error: 'connect_failed', linkFault: true };
    if (random.chance(faults.unknownLost)) return null;
    if (random.chance(faults.wrongNetwork))
      return { kind: 'rejected', error: 'wrong_network', wrongNetwork: true, linkFault: false };
    if (random.chance(faults.rejected))
      return { kind: 'rejected', error: 'http_400', wrongNetwork: false, linkFault: false };
    if (random.chance(faults.transient)) return { kind: 'transient', error: 'http_503', linkFault: random.chance(0.3) };
    if (random.chance(faults.throttled))
      return { kind: 'throttled', error: 'http_429', retryAfterMs: random.pick([0, 500, 2_000]), linkFault: false };
    const operatorIds = take(settings, submission, submit);
    if (random.chance(faults.unknownTaken)) return null;
    const parts = operatorIds.length;
    const acceptedParts = parts > 1 && random.chance(faults.partial) ? random.between(1, parts - 1) : parts;
    return {
      kind: 'accepted',
      operatorIds: operatorIds.slice(0, acceptedParts),
      acceptedParts,
      parts,
      linkFault: false,
    };
  };

  const connect = (process: Process, settings: OperatorSettings, events: ConnectorEvents): Connector => {
    const windowSize = 3;
    const timeoutMs = settings.connector === 'http' ? settings.http.timeoutMs : settings.smpp.responseTimeoutMs;
    let inflight = 0;
    let closed = false;
    let drained: (() => void) | null = null;
    const all = links.get(settings.name) ?? [];
    links.set(settings.name, [...all, { process, events }]);

    const ended = (): void => {
      inflight -= 1;
      if (inflight === 0) drained?.();
      if (!closed) events.onReady();
    };
    const released = (error: string): SubmitOutcome => ({ kind: 'released', error, linkFault: false });
    const exchange = (submission: Submission): Promise<SubmitOutcome> => {
      const submit: Submit = {
        id: submission.messageId,
        attempt: submission.attempt,
        operator: settings.name,
        process: process.name,
        at: worldNow(),
        taken: false,
        told: null,
      };
      submits.push(submit);
      onSubmit(submit);
      return new Promise((resolve) => {
        const tell = (ms: number, outcome: SubmitOutcome): void =>
          void after(ms, process, () => {
            submit.told = outcome.kind === 'rejected' && outcome.wrongNetwork ? 'wrong_network' : outcome.kind;
            resolve(outcome);
          });
        const way = random.chance(weather.faults.submitSlow)
          ? random.between(100, timeoutMs + 1_000)
          : random.between(1, 30);
        later(way, () => {
          const outcome = decide(settings, submission, submit);
          const back = way * 2 + random.between(0, 5);
          if (outcome !== null && back < timeoutMs) tell(back - way, outcome);
          else
            tell(Math.max(1, timeoutMs - way), {
              kind: 'unknown',
              error: 'no_answer',
              operatorIds: [],
              linkFault: random.chance(0.2),
            });
        });
        survives(weather, process);
      });
    };
    const submit = async (submission: Submission): Promise<SubmitOutcome> => {
      if (!process.alive) return NEVER;
      if (closed) return released('closed');
      if (inflight >= windowSize) return released('window_full');
      if (Date.now() >= submission.validUntil) return released('expired');
      if (random.chance(weather.faults.released))
        return { ...released('not_bound'), linkFault: random.chance(0.5) } as SubmitOutcome;
      inflight += 1;
      try {
        return await exchange(submission);
      } finally {
        ended();
      }
    };
    return {
      windowSize,
      slotsOf: () => 1,
      get free() {
        return closed ? 0 : windowSize - inflight;
      },
      get ready() {
        return !closed;
      },
      submit,
      state: () => ({ connector: 'http', ready: !closed, binds: [], inflight, windowSize }),
      close: () =>
        new Promise((resolve) => {
          closed = true;
          drained = resolve;
          if (inflight === 0) resolve();
        }),
    };
  };
  return { submits, underway: () => underway, connect };
}
