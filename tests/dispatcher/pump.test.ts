/** A pump between a billing and an operator that are played by hand. */
import { describe, expect, test } from 'bun:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { createBreaker } from '../../dispatcher/breaker.ts';
import type { Connector, Submission, SubmitOutcome } from '../../dispatcher/connector.ts';
import { UNLIMITED } from '../../dispatcher/lease.ts';
import { createPump } from '../../dispatcher/pump.ts';
import type { PumpDeps } from '../../dispatcher/pump-deps.ts';
import { createRate } from '../../dispatcher/rate.ts';
import type { Work } from '../../dispatcher/work.ts';
import { ClaimCode } from '../../shared/billing.ts';
import { createLog } from '../../shared/log.ts';
import type { Lane } from '../../shared/topics.ts';

const ACCEPTED: SubmitOutcome = { kind: 'accepted', operatorIds: ['x'], acceptedParts: 1, parts: 1, linkFault: false };

/** @param away slots of binds that are not bound */
function pumpOf(windowSize: number, expressShare: number, away = 0) {
  const open: { lane: Lane; slots: number; end(outcome: SubmitOutcome): void }[] = [];
  const submitted: string[] = [];
  let ended = 0;
  const used = (): number => open.reduce((sum, { slots }) => sum + slots, 0);
  const connector = {
    windowSize,
    get free() {
      return Math.max(0, windowSize - away - used());
    },
    ready: true,
    slotsOf: ({ pages }) => pages,
    submit: ({ messageId, lane, pages }: Submission) => {
      submitted.push(messageId);
      return new Promise<SubmitOutcome>((end) => void open.push({ lane, slots: pages, end }));
    },
    state: () => ({ connector: 'smpp', ready: true, binds: [], inflight: used(), windowSize }),
    close: async () => undefined,
  } as Connector;
  const deps: PumpDeps = {
    settings: {
      name: 'A',
      expressShare,
      tps: 0,
      onUnknown: { express: 'wait', normal: 'wait' },
      unknownWaitMs: 1_000,
    } as PumpDeps['settings'],
    connector,
    rate: createRate(),
    lease: UNLIMITED,
    breaker: createBreaker({ failures: 5, openMs: 1_000, halfOpenProbes: 1 }),
    records: {
      nextClaim: () => 1,
      claimMs: 5,
      claim: async () => ({ code: ClaimCode.CLAIMED }),
    } as unknown as PumpDeps['records'],
    giveWay: { claimed: () => undefined, share: () => 1 },
    settle: async () => {
      ended += 1;
      return 'ended';
    },
    undo: async () => undefined,
    rest: () => undefined,
    notClaimed: () => undefined,
    divert: () => 'nobody',
    reroute: () => null,
    onDrained: () => undefined,
    onSubmitted: () => undefined,
    log: createLog('test', 'error', () => undefined),
  };
  const pump = createPump(deps);
  let pushed = 0;
  const push = (lane: Lane, pages: number): string => {
    const id = String(pushed++).padStart(6, '0');
    pump.push(lane, {
      event: { id, pages, user_id: 'u', lane },
      attempt: 1,
      claim: 0,
      done: () => undefined,
    } as never as Work);
    pump.wake();
    return id;
  };
  /** Until nothing moves any more by itself. */
  const rest = async (): Promise<void> => {
    for (let i = 0; i < 4; i += 1) await turn();
  };
  const answer = async (at: number): Promise<void> => {
    const [one] = open.splice(at % open.length, 1);
    one?.end(ACCEPTED);
    await rest();
  };
  const others = (): number => open.filter(({ lane }) => lane !== 'express').reduce((sum, { slots }) => sum + slots, 0);
  return { pump, push, rest, answer, open, others, submitted, ended: () => ended };
}

const lane = fc.constantFrom<Lane[]>('express', 'normal', 'normal', 'bulk');
const step = fc.oneof(
  fc.record({ push: lane, pages: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ answer: fc.nat(50) }),
);

const size = fc.integer({ min: 1, max: 20 }).chain((all) => fc.tuple(fc.constant(all), fc.nat(all - 1)));

describe('messages of any length', () => {
  test('all go in the end; the others stay within their part of the window, but for one that is longer than it', async () => {
    await fc.assert(
      fc.asyncProperty(size, fc.array(step, { maxLength: 60 }), async ([windowSize, away], steps) => {
        const { pump, push, rest, answer, open, others, ended } = pumpOf(windowSize, 0.2, away);
        const most = Math.max(1, Math.floor(windowSize * 0.8));
        let count = 0;
        const look = (): void => {
          const long = open.filter((one) => one.lane !== 'express');
          if (long.length > 1) expect(others()).toBeLessThanOrEqual(most);
        };
        for (const one of steps) {
          if ('push' in one) {
            push(one.push, one.pages);
            count += 1;
            await rest();
          } else if (open.length > 0) await answer(one.answer);
          look();
        }
        while (open.length > 0) {
          await answer(0);
          look();
        }
        expect(ended()).toBe(count);
        expect(pump.busy).toBe(0);
        await pump.close(() => undefined);
      }),
      { numRuns: 60 },
    );
  });

  test('a long one is not overtaken for ever: those behind it wait until it fits', async () => {
    const { pump, push, rest, answer, open, submitted } = pumpOf(10, 0.2);
    for (let i = 0; i < 8; i += 1) push('normal', 1);
    await rest();
    expect(open).toHaveLength(8);
    const long = push('normal', 8);
    for (let i = 0; i < 20; i += 1) push('normal', 1);
    await rest();
    for (let i = 0; i < 8; i += 1) await answer(0);
    expect(submitted.indexOf(long)).toBe(8);
    while (open.length > 0) await answer(0);
    expect(submitted).toHaveLength(29);
    await pump.close(() => undefined);
  });

  test('express finds room beside long ones', async () => {
    const { pump, push, rest, open, others, submitted } = pumpOf(16, 0.2);
    for (let i = 0; i < 20; i += 1) push('normal', 3);
    await rest();
    expect(others()).toBe(12);
    const code = push('express', 1);
    await rest();
    expect(submitted.at(-1)).toBe(code);
    for (const { end } of open.splice(0)) end(ACCEPTED);
    await pump.close(() => undefined);
  });
});
