/**
 * The simulated clock, and with it the whole of chance: every timer, every instant and every random byte that the services see
 * comes from here, so that a seed is a history. The services' own code runs on it: setTimeout and its kin, Date.now,
 * performance.now, node:timers/promises and node:crypto's random bytes are put in place before the first service is imported.
 *
 * One event is one turn of one process' event loop: its callback, then all promises that follow from it. A process that was
 * killed has no turns any more; one that is frozen has its turns later.
 */

import { drainMicrotasks } from 'bun:jsc';
import { createRequire } from 'node:module';
import { createRandom, type Random } from './random.ts';

/** One process of a service, or the world itself. Timers belong to the process in whose turn they were made. */
export type Process = {
  readonly name: string;
  alive: boolean;
  /** No turn before this instant. */
  frozenUntil: number;
  /** What its wall clock is off by, milliseconds. */
  skewMs: number;
  /**
   * Long timers of a process that only polls: how long to put one off, milliseconds, because it would find nothing to do. A
   * timer that fires late is what a busy machine does anyhow.
   */
  idleMs?: () => number;
};

type Event = { at: number; serial: number; process: Process; run: () => void; cancelled: boolean; poll: boolean };

const START_MS = 1_800_000_000_000;
/** The one period of the sweeper and of the relay: their timers may be put off. */
export const IDLE_MS = 1_000;
/** An interval this long is a second look. */
const POLL_MS = 400;
const LEISURE_MS = 15_000;

let heap: Event[] = [];
let serial = 0;
let now = START_MS;
let random: Random = createRandom(0);
let turns = 0;

export const WORLD: Process = { name: 'world', alive: true, frozenUntil: 0, skewMs: 0 };
let current: Process = WORLD;

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.serial < b.serial);

function push(event: Event): void {
  let i = heap.length;
  heap.push(event);
  while (i > 0) {
    const parent = (i - 1) >> 1;
    const above = heap[parent] as Event;
    if (!before(event, above)) break;
    heap[i] = above;
    i = parent;
  }
  heap[i] = event;
}

function pop(): Event | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (top === undefined || last === undefined || heap.length === 0) return top;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child += 1;
    if (!before(heap[child] as Event, last)) break;
    heap[i] = heap[child] as Event;
    i = child;
  }
  heap[i] = last;
  return top;
}

/** The world's instant, epoch milliseconds. */
export const worldNow = (): number => now;
/** Whose turn it is. */
export const currentProcess = (): Process => current;
/** How many turns were had since the history began. */
export const turnCount = (): number => turns;

/** A turn of a process, some milliseconds from now. */
export function after(ms: number, process: Process, run: () => void): Event {
  serial += 1;
  const event = { at: now + Math.max(0, Math.ceil(ms)), serial, process, run, cancelled: false, poll: false };
  push(event);
  return event;
}

/** Resolves in a later turn of the process. */
export function waitAs(process: Process, ms: number): Promise<void> {
  return new Promise((resolve) => void after(ms, process, resolve));
}

function turn(event: Event): void {
  const { process } = event;
  now = event.at;
  turns += 1;
  current = process;
  event.run();
  drainMicrotasks();
  current = WORLD;
}

/** Whether an event's turn is put off, or never comes. */
function passedOver(event: Event): boolean {
  const { process } = event;
  if (event.cancelled || !process.alive) return true;
  const late =
    process.frozenUntil > event.at ? process.frozenUntil - event.at : event.poll ? (process.idleMs?.() ?? 0) : 0;
  if (late <= 0) return false;
  event.at += late;
  push(event);
  return true;
}

/** Turns until nothing is left, until `untilMs` (epoch), or until `isOver` says so (asked after each turn). */
export function runUntil(untilMs: number, isOver: () => boolean = () => false): void {
  for (let event = heap[0]; event !== undefined && event.at <= untilMs; event = heap[0]) {
    pop();
    // A poll is asked at its own instant whether it would find something.
    now = event.at;
    if (passedOver(event)) continue;
    turn(event);
    if (isOver()) return;
  }
  if (now < untilMs) now = untilMs;
}

/** A new history: nothing is left of the one before. */
export function beginWorld(chance: Random): void {
  heap = [];
  serial = 0;
  turns = 0;
  now = START_MS;
  random = chance;
  current = WORLD;
}

let filled = 0;

/** Uses up random bytes that a module keeps from the history before: `use` is called until it asks for new ones. */
export function drained(use: () => void): void {
  for (const before = filled; filled === before; ) use();
}

type Timer = { event: Event; ref(): Timer; unref(): Timer; hasRef(): boolean };

function timerOf(event: Event): Timer {
  const timer: Timer = { event, ref: () => timer, unref: () => timer, hasRef: () => true };
  return timer;
}

function setSimulatedTimeout(run: (...args: unknown[]) => void, ms = 1, ...args: unknown[]): Timer {
  const event = after(Math.max(1, ms), current, () => run(...args));
  event.poll = ms === IDLE_MS;
  return timerOf(event);
}

function setSimulatedInterval(run: (...args: unknown[]) => void, ms = 1, ...args: unknown[]): Timer {
  const owner = current;
  // What looks after the others at its leisure looks more rarely: half of all turns were nothing but that.
  const period = ms >= POLL_MS ? Math.max(ms, LEISURE_MS) : Math.max(1, ms);
  const again = (): void => {
    timer.event = after(period, owner, again);
    run(...args);
  };
  const timer = timerOf(after(period, owner, again));
  return timer;
}

const clear = (timer: Timer | null | undefined): void => {
  if (timer?.event) timer.event.cancelled = true;
};

/** Puts the simulated clock and chance in the place of the real ones. Before any service is imported, once. */
export function installClock(): void {
  const require = createRequire(import.meta.url);
  const set = (target: object, name: string, value: unknown): void =>
    void Object.defineProperty(target, name, { value, writable: true, configurable: true });
  set(globalThis, 'setTimeout', setSimulatedTimeout);
  set(globalThis, 'setInterval', setSimulatedInterval);
  set(globalThis, 'setImmediate', (run: (...args: unknown[]) => void, ...args: unknown[]) =>
    timerOf(after(0, current, () => run(...args))),
  );
  for (const name of ['clearTimeout', 'clearInterval', 'clearImmediate']) set(globalThis, name, clear);
  set(Date, 'now', () => now + current.skewMs);
  set(performance, 'now', () => now - START_MS + 1_000);
  set(Math, 'random', () => random.float());
  set(require('node:timers/promises'), 'setTimeout', (ms: number) => waitAs(current, Math.max(1, ms)));
  set(require('node:crypto'), 'randomFillSync', (bytes: Uint8Array) => {
    filled += 1;
    for (let i = 0; i < bytes.length; i += 1) bytes[i] = random.between(0, 255);
    return bytes;
  });
}
