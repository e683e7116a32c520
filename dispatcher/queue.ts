/**
 * One operator's messages in this process, by lane. Express goes first and a part of the window is kept for it; the lower
 * lane goes last but always keeps a share. Pure.
 */
import type { Lane } from '../shared/topics.ts';

/** Of five picks among normal and bulk, this one is bulk's when both wait. */
const BULK_TURN = 5;

/** A first-in, first-out list that does not move its elements at each take. */
export function createFifo<T>() {
  let items: T[] = [];
  let head = 0;
  return {
    get length() {
      return items.length - head;
    },
    get first(): T | undefined {
      return items[head];
    },
    push: (item: T): void => void items.push(item),
    shift: (): T | undefined => {
      if (head >= items.length) return undefined;
      const item = items[head];
      items[head] = undefined as T;
      head += 1;
      if (head > 512 && head * 2 > items.length) {
        items = items.slice(head);
        head = 0;
      }
      return item;
    },
  };
}

/** A list that gives its first by an order first: a binary heap, at which what is put in in order costs one comparison. */
export function createHeap<T>(before: (a: T, b: T) => boolean) {
  const items: T[] = [];
  /** Moves the hole up from its place to where the item belongs. */
  const rise = (from: number, item: T): void => {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(item, items[parent] as T)) break;
      items[at] = items[parent] as T;
      at = parent;
    }
    items[at] = item;
  };
  return {
    get length() {
      return items.length;
    },
    get first(): T | undefined {
      return items[0];
    },
    push: (item: T): void => rise(items.length, item),
    shift: (): T | undefined => {
      const first = items[0];
      const last = items.pop();
      if (items.length === 0) return first;
      // The hole goes down to the bottom along the lesser children, and the last item up from there: it is seldom far.
      let at = 0;
      for (let child = 1; child < items.length; child = at * 2 + 1) {
        if (child + 1 < items.length && before(items[child + 1] as T, items[child] as T)) child += 1;
        items[at] = items[child] as T;
        at = child;
      }
      rise(at, last as T);
      return first;
    },
  };
}

/**
 * @param older which of two messages of a lane goes first, whatever order they came in: partitions are read one after the other,
 * and each holds a part of the same minutes
 */
export function createLaneQueue<T>(older: (a: T, b: T) => boolean) {
  const lanes = { express: createHeap<T>(older), normal: createHeap<T>(older), bulk: createHeap<T>(older) };
  let turn = 0;
  return {
    lengthOf: (lane: Lane): number => lanes[lane].length,
    get length() {
      return lanes.express.length + lanes.normal.length + lanes.bulk.length;
    },
    push: (lane: Lane, item: T): void => lanes[lane].push(item),
    shift: (lane: Lane): T | undefined => lanes[lane].shift(),
    /** The next message for a link that is on trial: what hurries goes last. */
    takeProbe: (): { lane: Lane; item: T } | null => {
      for (const lane of ['bulk', 'normal', 'express'] as const) {
        const item = lanes[lane].shift();
        if (item !== undefined) return { lane, item };
      }
      return null;
    },
    /**
     * The next message to go.
     * @param othersMay whether this message, which is not express and is the next of them, may go now
     */
    take: (othersMay: (item: T) => boolean): { lane: Lane; item: T } | null => {
      const express = lanes.express.shift();
      if (express !== undefined) return { lane: 'express', item: express };
      const both = lanes.normal.length > 0 && lanes.bulk.length > 0;
      const next = both ? (turn + 1) % BULK_TURN : turn;
      const lane = both ? (next === 0 ? 'bulk' : 'normal') : lanes.normal.length > 0 ? 'normal' : 'bulk';
      const { first } = lanes[lane];
      if (first === undefined || !othersMay(first)) return null;
      turn = next;
      lanes[lane].shift();
      return { lane, item: first };
    },
  };
}
