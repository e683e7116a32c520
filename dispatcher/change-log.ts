/**
 * The log of links and breakers: one line per change of state. What changes again and again has so many lines, then one
 * every half minute, which says how many it stands for; the last state is always told.
 */
import type { Log } from '../shared/log.ts';
import type { BreakerState } from './breaker.ts';
import type { LinkChange } from './connector.ts';

const LINES_MAX = 10;
const LINE_EVERY_MS = 30_000;

export type Change = { level: 'info' | 'warn'; event: string; fields?: Record<string, unknown> };
/** Monotonic. */
export type ChangeClock = { now(): number; later(ms: number, act: () => void): void };

const CLOCK: ChangeClock = {
  now: () => performance.now(),
  later: (ms, act) => void setTimeout(act, ms).unref(),
};

/** The changes of one thing. What is the same as the last is no change. */
export function createChangeLog(log: Log, clock = CLOCK): (change: Change) => void {
  let last = '';
  let lines = LINES_MAX;
  let earnedAt = clock.now();
  let untold: Change | null = null;
  let passed = 0;

  const hasLine = (): boolean => {
    const earned = Math.floor((clock.now() - earnedAt) / LINE_EVERY_MS);
    earnedAt += earned * LINE_EVERY_MS;
    lines = Math.min(LINES_MAX, lines + earned);
    return lines > 0;
  };
  const tell = ({ level, event, fields }: Change): void => {
    lines -= 1;
    log[level](event, { ...fields, ...(passed > 0 ? { passed_over: passed } : {}) });
    untold = null;
    passed = 0;
  };
  const tellLater = (): void => clock.later(Math.ceil(earnedAt + LINE_EVERY_MS - clock.now()), tellLast);
  const tellLast = (): void => {
    if (untold === null) return;
    if (hasLine()) {
      passed -= 1;
      tell(untold);
    }
    // The timer came a moment early.
    else tellLater();
  };

  return (change) => {
    const words = JSON.stringify(change);
    if (words === last) return;
    last = words;
    if (hasLine()) return tell(change);
    untold = change;
    passed += 1;
    if (passed === 1) tellLater();
  };
}

const LINK: Readonly<Record<LinkChange['state'], Pick<Change, 'level' | 'event'>>> = {
  made: { level: 'info', event: 'link_made' },
  lost: { level: 'warn', event: 'link_lost' },
  refused: { level: 'warn', event: 'link_refused' },
};

/** What an operator's connector tells of its links. `bind` is its place in the `binds` of GET /operators. */
export function linkLog(log: Log, operator: string): (change: LinkChange) => void {
  const binds = new Map<number, (change: Change) => void>();
  return ({ bind, role, state, reason }) => {
    const note = binds.get(bind) ?? createChangeLog(log);
    binds.set(bind, note);
    note({ ...LINK[state], fields: { operator, bind, role, ...(reason === null ? {} : { reason }) } });
  };
}

const BREAKER: Readonly<Record<BreakerState, Pick<Change, 'level' | 'event'>>> = {
  closed: { level: 'info', event: 'breaker_closed' },
  half_open: { level: 'info', event: 'breaker_half_open' },
  open: { level: 'warn', event: 'breaker_open' },
};

/** What an operator's breaker tells of itself. */
export function breakerLog(log: Log, operator: string): (state: BreakerState) => void {
  const note = createChangeLog(log);
  return (state) => note({ ...BREAKER[state], fields: { operator } });
}
