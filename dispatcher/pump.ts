/**
 * One operator's pump: from its queue to its connector, as fast as window, rate and breaker allow.
 *
 * What is counted against the window are its slots, of which a long message takes one for each of its parts. A message is claimed only
 * for free ones, plus what covers one claim's round trip: whatever is claimed when the
 * process dies becomes `unknown`. A claim is good for CLAIM_GOOD_MS by this process' monotonic clock; one that waited longer
 * is handed back and claimed anew before it is submitted.
 */
import { LANES, type Lane } from '../shared/topics.ts';
import { createAlarm } from './alarm.ts';
import { createClaimer } from './claimer.ts';
import type { Connector } from './connector.ts';
import { createCover, waitingMax } from './cover.ts';
import type { Wanted } from './lease.ts';
import type { Claimed, PumpDeps, Queued } from './pump-deps.ts';
import { createFifo, createLaneQueue } from './queue.ts';
import { type Counters, createSubmitter, sideOf } from './submit.ts';
import type { Work } from './work.ts';

/** Less than the shortest claim ttl by more than the longest submit. */
export const CLAIM_GOOD_MS = 3_000;
/** A longer pause than this is not waited for with claims in hand. */
const PAUSE_HELD_MS = 1_000;
/** So long without a link counts as one fault of it: where nothing can be submitted nothing else says so. */
const LINK_DOWN_FAULT_MS = 1_000;
/** A message of more than this part of the others' room is a long one. */
const LONG_PART = 4;
/** How often an operator is looked at, and one that is not well. */
const LOOK_MS = 1_000;
const LOOK_AROUND_MS = 250;

/** Messages that wait, and those of them that are claimed. */
export type PumpState = { queued: Record<Lane, number>; claimed: number };

export type Pump = {
  readonly name: string;
  readonly connector: Connector;
  push(lane: Lane, work: Work): void;
  queued(lane: Lane): number;
  /** Slots of messages that wait for their submit with a claim in hand; of express with one on its way as well. */
  waiting(): Wanted;
  /** Slots of messages on their way from the queue to their end. */
  readonly busy: number;
  /** Something changed: a slot, a token, a link. */
  wake(): void;
  state(): PumpState;
  readonly counters: Counters;
  /**
   * Stops claiming and waits for what is submitted, as long as a submit may take at most.
   * @param handOver takes each message that is left to do: those that wait at once, the others as their claims are undone
   */
  close(handOver: (queued: Queued) => void): Promise<void>;
};

/** Claimed messages in their order, with the sum of their slots. */
function createReady() {
  const list = createFifo<Claimed>();
  let slots = 0;
  return {
    get length() {
      return list.length;
    },
    get first() {
      return list.first;
    },
    get slots() {
      return slots;
    },
    push: (claimed: Claimed): void => {
      slots += claimed.slots;
      list.push(claimed);
    },
    shift: (): Claimed | undefined => {
      const claimed = list.shift();
      slots -= claimed?.slots ?? 0;
      return claimed;
    },
  };
}

export function createPump(deps: PumpDeps): Pump {
  const { settings, connector, rate, lease, breaker, records, giveWay } = deps;
  const { name } = settings;
  const queue = createLaneQueue<Work>((a, b) => a.event.id < b.event.id);
  const ready = { express: createReady(), others: createReady() };
  const cover = createCover(connector.windowSize);
  const othersMax = Math.max(1, Math.floor(connector.windowSize * (1 - settings.expressShare)));
  const tasks = new Set<Promise<void>>();
  let handOver: ((queued: Queued) => void) | null = null;
  let downSince: number | null = null;
  const alarm = createAlarm(() => wake());

  const expressInside = (): number => submitting.express + claiming.express + ready.express.slots;
  const othersInside = (): number => submitting.others + claiming.others + ready.others.slots;

  const track = (task: Promise<void>): void => {
    tasks.add(task);
    void task.finally(() => tasks.delete(task));
  };
  /** Back to its place in its lane, for another claim. */
  const putBack = (lane: Lane, work: Work): void => {
    if (handOver) handOver({ lane, work });
    else {
      queue.push(lane, work);
      wake();
    }
  };
  const submitter = createSubmitter(deps, cover, putBack, () => wake());
  const { submitting, counters } = submitter;
  /** Undone, and then claimed anew: its time ran, or there may be no slot for long. */
  const handBack = ({ lane, work }: Claimed): void => track(deps.undo(work, name).then(() => putBack(lane, work)));
  const handBackReady = (): void => {
    for (const list of [ready.express, ready.others])
      for (let next = list.shift(); next; next = list.shift()) handBack(next);
  };

  const claimer = createClaimer(
    deps,
    (claimed) => {
      ready[sideOf(claimed.lane)].push(claimed);
      if (handOver) handBackReady();
    },
    putBack,
    () => wake(),
  );
  const { claiming } = claimer;

  /** One that is longer than their part, or than what a bind that is away leaves of it, goes when it is the only one of them. */
  const othersFit = (slots: number): boolean =>
    submitting.others === 0 || (submitting.others + slots <= othersMax && slots <= connector.free);

  const submitReady = (now: number): void => {
    if (handOver) return;
    if (rate.waitMs(now) > PAUSE_HELD_MS) handBackReady();
    const allowance = breaker.allowance(now);
    while (connector.free > 0 && submitting.express + submitting.others < allowance) {
      const list = ready.express.length > 0 ? ready.express : ready.others;
      if (list.first === undefined || (list === ready.others && !othersFit(list.first.slots))) return;
      if (rate.available(now) <= 0 || lease.available() <= 0) return;
      const next = list.shift() as Claimed;
      if (now - next.at > CLAIM_GOOD_MS) handBack(next);
      else track(submitter.submit(next, now));
    }
  };

  const claimMore = (now: number): void => {
    if (handOver || queue.length === 0 || !connector.ready || now < claimer.restUntil) return;
    if (rate.waitMs(now) > PAUSE_HELD_MS) return;
    const { windowSize } = connector;
    const ahead = cover.size(now, records.claimMs);
    const othersRoom = Math.max(1, Math.ceil((othersMax + ahead) * giveWay.share(now)));
    const most = waitingMax(rate.perSecond(now), settings.tps, records.claimMs);
    const allowance = breaker.allowance(now);
    const onTrial = breaker.state(now) === 'half_open';
    /**
     * Claimed ahead is what is short. A long message is claimed when it fits and those behind it wait for that: behind a claim in hand
     * it would wait for the window, past its claim's time, while younger ones went on.
     */
    const othersMay = ({ event }: Work): boolean => {
      const slots = connector.slotsOf(event);
      const inside = othersInside();
      const fits = inside === 0 || inside + slots <= Math.min(othersMax, othersRoom);
      const room = slots > othersMax / LONG_PART ? fits : inside < othersRoom;
      return room && claiming.others + ready.others.slots < most && expressInside() + inside < windowSize + ahead;
    };
    // What the others have claimed takes no room from express: it goes before them wherever they wait.
    while (
      expressInside() + submitting.others < windowSize + ahead &&
      claiming.express + ready.express.slots < most &&
      expressInside() + othersInside() < allowance
    ) {
      const next = onTrial ? queue.takeProbe() : queue.take(othersMay);
      if (next === null) return;
      deps.onDrained(next.lane, queue.lengthOf(next.lane));
      track(claimer.claim(next.lane, next.item));
    }
  };

  /** What waits and need not wait here goes elsewhere, express first; while it is tried again the probes stay. */
  const divertWaiting = (now: number): void => {
    const allowance = connector.ready ? breaker.allowance(now) : 0;
    const staying = Math.max(0, allowance - expressInside() - othersInside());
    for (const lane of LANES) {
      const back: Work[] = [];
      for (let left = queue.lengthOf(lane); left > 0 && queue.length + back.length > staying; left -= 1) {
        const work = queue.shift(lane) as Work;
        const diverted = deps.divert(lane, work);
        if (diverted === 'taken') continue;
        back.push(work);
        if (diverted === 'nobody') break;
      }
      for (const work of back) queue.push(lane, work);
      deps.onDrained(lane, queue.lengthOf(lane));
    }
  };

  /** A link that is not there fails no submit, so the breaker learns of it here. */
  const watchLink = (now: number): void => {
    if (connector.ready) {
      if (downSince !== null) breaker.linkMade(now);
      downSince = null;
      return;
    }
    handBackReady();
    downSince ??= now;
    if (now - downSince < LINK_DOWN_FAULT_MS) return;
    downSince = now;
    breaker.record(now, true, { down: true });
  };

  let waking = false;
  /** What a batch's answers wake in one turn is done once. */
  const wake = (): void => {
    if (waking || handOver) return;
    waking = true;
    queueMicrotask(() => {
      waking = false;
      goOn();
    });
  };
  const goOn = (): void => {
    if (handOver) return;
    const now = performance.now();
    watchLink(now);
    submitReady(now);
    claimMore(now);
    if (breaker.state(now) === 'open') handBackReady();
    const isWell = connector.ready && breaker.state(now) === 'closed';
    if (!isWell) {
      divertWaiting(now);
      alarm.set(now, LOOK_AROUND_MS);
      return;
    }
    if (queue.length === 0 && ready.express.length + ready.others.length === 0) return;
    const wait = Math.max(rate.waitMs(now), claimer.restUntil - now);
    if (wait > 0) alarm.set(now, wait);
  };
  // A link may go and come while nothing is on its way.
  const look = setInterval(() => wake(), LOOK_MS);

  return {
    name,
    connector,
    push: queue.push,
    queued: queue.lengthOf,
    waiting: () => ({ express: claiming.express + ready.express.slots, others: ready.others.slots }),
    get busy() {
      return expressInside() + othersInside();
    },
    wake,
    counters,
    state: () => ({
      queued: { express: queue.lengthOf('express'), normal: queue.lengthOf('normal'), bulk: queue.lengthOf('bulk') },
      claimed: ready.express.length + ready.others.length,
    }),
    close: async (take) => {
      handOver = take;
      clearInterval(look);
      alarm.stop();
      for (let next = queue.take(() => true); next; next = queue.take(() => true))
        take({ lane: next.lane, work: next.item });
      handBackReady();
      await connector.close();
      while (tasks.size > 0) await Promise.all(tasks);
    },
  };
}
