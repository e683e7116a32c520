/**
 * The waiting rooms of sms-dlq: each partition is one operator slot and one tier of waits. A record waits here until its
 * not-before; a full room pauses its own partition and nobody else's.
 */
import type { RetryEvent } from '../shared/events.ts';
import type { Work } from './work.ts';

/** Records of one room in memory; past it its partition pauses until half of them went. */
const ROOM_MAX = 1_000;

export type Rooms = {
  add(partition: number, event: RetryEvent, done: () => void): void;
  /** A message that was claimed too early waits on, milliseconds. */
  addEarly(work: Work, waitMs: number): void;
  readonly length: number;
  close(): void;
};

type Waiting = { work: Work; notBefore: number };

/**
 * @param release takes a message whose time has come
 * @param pause, resume the partition of a room that is full, and has room again
 */
export function openRooms(
  release: (work: Work) => void,
  pause: (partition: number) => void,
  resume: (partition: number) => void,
): Rooms {
  const rooms = new Map<number, Waiting[]>();
  const paused = new Set<number>();
  /** Messages that came back early belong to no partition. */
  const EARLY = -1;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let wakeAt = Number.POSITIVE_INFINITY;

  const open = (): void => {
    timer = null;
    wakeAt = Number.POSITIVE_INFINITY;
    const now = Date.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [partition, room] of rooms) {
      const left: Waiting[] = [];
      for (const waiting of room) {
        if (waiting.notBefore <= now) release(waiting.work);
        else {
          left.push(waiting);
          next = Math.min(next, waiting.notBefore);
        }
      }
      rooms.set(partition, left);
      if (paused.has(partition) && left.length < ROOM_MAX / 2) {
        paused.delete(partition);
        resume(partition);
      }
    }
    if (Number.isFinite(next)) arm(next);
  };
  const arm = (at: number): void => {
    if (at >= wakeAt) return;
    if (timer) clearTimeout(timer);
    wakeAt = at;
    timer = setTimeout(open, Math.max(0, at - Date.now()));
  };
  const add = (partition: number, waiting: Waiting): void => {
    const room = rooms.get(partition) ?? [];
    room.push(waiting);
    rooms.set(partition, room);
    arm(waiting.notBefore);
    if (partition !== EARLY && room.length >= ROOM_MAX && !paused.has(partition)) {
      paused.add(partition);
      pause(partition);
    }
  };
  return {
    add: (partition, { attempt, not_before, pinned, ...event }, done) =>
      add(partition, { work: { event, attempt, claim: 0, pinned, done }, notBefore: not_before }),
    addEarly: (work, waitMs) => add(EARLY, { work, notBefore: Date.now() + waitMs }),
    get length() {
      let sum = 0;
      for (const room of rooms.values()) sum += room.length;
      return sum;
    },
    close: () => {
      if (timer) clearTimeout(timer);
    },
  };
}
