import { describe, expect, test } from 'bun:test';
import { createBreaker } from '../../dispatcher/breaker.ts';
import { breakerLog, type Change, createChangeLog, linkLog } from '../../dispatcher/change-log.ts';
import { createLog } from '../../shared/log.ts';

function lines() {
  const told: Record<string, unknown>[] = [];
  const log = createLog('dispatcher', 'info', (line) => {
    const { time: _, service: __, ...rest } = JSON.parse(line);
    told.push(rest);
  });
  return { log, told, take: () => told.splice(0) };
}

function handClock() {
  let now = 0;
  let waiting: { at: number; act: () => void }[] = [];
  return {
    now: () => now,
    later: (ms: number, act: () => void) => void waiting.push({ at: now + ms, act }),
    pass: (ms: number) => {
      now += ms;
      const due = waiting.filter(({ at }) => at <= now);
      waiting = waiting.filter(({ at }) => at > now);
      for (const { act } of due) act();
    },
  };
}

const lost: Change = { level: 'warn', event: 'link_lost', fields: { reason: 'connection_lost' } };
const made: Change = { level: 'info', event: 'link_made' };

describe('one line per change of state', () => {
  test('a link that is made, lost, refused again and again for one reason, then for another', () => {
    const { log, take } = lines();
    const note = linkLog(log, 'MTN');
    const at = { bind: 1, role: 'receiver' } as const;
    const whose = { operator: 'MTN', bind: 1, role: 'receiver' };
    note({ ...at, state: 'made', reason: null });
    note({ ...at, state: 'lost', reason: 'enquire_link_timeout' });
    for (let i = 0; i < 100; i++) note({ ...at, state: 'refused', reason: 'connect_failed_econnrefused' });
    note({ ...at, state: 'refused', reason: 'bind_smpp_0x0000000e' });
    note({ ...at, state: 'made', reason: null });
    expect(take()).toEqual([
      { level: 'info', event: 'link_made', ...whose },
      { level: 'warn', event: 'link_lost', ...whose, reason: 'enquire_link_timeout' },
      { level: 'warn', event: 'link_refused', ...whose, reason: 'connect_failed_econnrefused' },
      { level: 'warn', event: 'link_refused', ...whose, reason: 'bind_smpp_0x0000000e' },
      { level: 'info', event: 'link_made', ...whose },
    ]);
    // Another bind has its own state.
    note({ bind: 0, role: 'transmitter', state: 'made', reason: null });
    expect(take()).toEqual([{ level: 'info', event: 'link_made', operator: 'MTN', bind: 0, role: 'transmitter' }]);
  });

  test('a breaker that opens, may be tried, and closes', () => {
    const { log, take } = lines();
    const breaker = createBreaker({ failures: 2, openMs: 1_000, halfOpenProbes: 1 }, breakerLog(log, 'MCI'));
    const asked = (now: number) => {
      breaker.state(now);
      return take();
    };
    expect(asked(0)).toEqual([]);
    breaker.record(10, true);
    breaker.record(20, true);
    expect(take()).toEqual([{ level: 'warn', event: 'breaker_open', operator: 'MCI' }]);
    expect(asked(500)).toEqual([]);
    expect(asked(1_100)).toEqual([{ level: 'info', event: 'breaker_half_open', operator: 'MCI' }]);
    breaker.record(1_200, false, { startedMs: 1_150 });
    expect(take()).toEqual([{ level: 'info', event: 'breaker_closed', operator: 'MCI' }]);
    breaker.record(1_300, false);
    expect(asked(9_000)).toEqual([]);
  });
});

describe('what flaps does not flood', () => {
  test('after ten lines there is one every half minute, which says how many it stands for', () => {
    const { log, told } = lines();
    const clock = handClock();
    const note = createChangeLog(log, clock);
    for (let second = 0; second < 3_600; second++) {
      note(lost);
      note(made);
      clock.pass(1_000);
    }
    expect(told.length).toBeLessThanOrEqual(10 + 120);
    expect(told.length).toBeGreaterThanOrEqual(10 + 118);
    const passed = told.reduce((sum, { passed_over }) => sum + Number(passed_over ?? 0), 0);
    expect(7_200 - (told.length + passed)).toBeLessThanOrEqual(60);
  });

  test('the last state is told though nothing changes any more', () => {
    const { log, told, take } = lines();
    const clock = handClock();
    const note = createChangeLog(log, clock);
    for (let i = 0; i < 10; i++) note(i % 2 === 0 ? lost : made);
    expect(take().length).toBe(10);
    note(lost);
    note(made);
    note(lost);
    clock.pass(29_999);
    expect(told).toEqual([]);
    clock.pass(1);
    expect(take()).toEqual([{ level: 'warn', event: 'link_lost', reason: 'connection_lost', passed_over: 2 }]);
    // Quiet for a while, it may change ten times again.
    clock.pass(600_000);
    for (let i = 0; i < 10; i++) note(i % 2 === 0 ? made : lost);
    expect(take().map(({ passed_over }) => passed_over)).toEqual(Array(10).fill(undefined));
  });
});
