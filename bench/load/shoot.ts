/**
 * The load generator itself: raw keep-alive sockets, requests that were built before, one on its way per connection. It runs
 * in a process of its own, so that its CPU is told apart from what it measures.
 */
import { type Bullet, bulletOf } from './bullet.ts';
import { fire, type Link, openLink } from './link.ts';
import type { LoadPlan, LoadResult } from './plan.ts';
import { book, createTally, resultOf, type Tally } from './tally.ts';

type Run = {
  plan: LoadPlan;
  stopped: () => boolean;
  bullets: readonly Bullet[];
  next: number;
  tally: Tally;
  links: Set<Link>;
  /** With a rate: connections without a request, and the instants of requests that wait for one. */
  free: Link[];
  due: number[];
  opening: number;
  busy: number;
  until: number;
  over: boolean;
  end: () => void;
};

/** With a rate more are opened as answers take longer, up to the plan's number. */
const OPENED_FIRST = 16;
const WATCH_EVERY_MS = 100;
const RECONNECT_MS = 100;

function isOver(run: Run): boolean {
  run.over ||= run.tally.requests >= run.plan.requestsMax || performance.now() >= run.until || run.stopped();
  return run.over;
}

function endWhenDone(run: Run): void {
  if (run.busy === 0 && run.due.length === 0 && isOver(run)) run.end();
}

function fireNext(run: Run, link: Link, since: number): void {
  const bullet = run.bullets[run.next] as Bullet;
  run.next = run.next + 1 === run.bullets.length ? 0 : run.next + 1;
  fire(link, bullet, run.plan.serialFrom + run.tally.requests, since);
  run.tally.requests += 1;
  run.busy += 1;
}

/** A connection is free: the next request goes into it, or nothing is left to do. */
function use(run: Run, link: Link): void {
  if (run.plan.ratePerS === 0) {
    if (!isOver(run)) fireNext(run, link, performance.now());
  } else {
    const since = run.due.shift();
    if (since === undefined) run.free.push(link);
    else fireNext(run, link, since);
  }
  endWhenDone(run);
}

async function open(run: Run): Promise<Link> {
  const link = await openLink(run.plan, {
    onAnswer: (answered, answer) => {
      run.busy -= 1;
      book(run.tally, answered, answered.bullet as Bullet, answer, run.plan.keepSerials);
    },
    onFree: (freed) => use(run, freed),
    onClose: (closed, wasBusy) => {
      run.links.delete(closed);
      const at = run.free.indexOf(closed);
      if (at >= 0) run.free.splice(at, 1);
      if (!wasBusy) return;
      run.busy -= 1;
      run.tally.lost += 1;
      replace(run);
      endWhenDone(run);
    },
  });
  run.links.add(link);
  return link;
}

/** One more connection. While the server is away (a scenario may have killed it), again and again until the run is over. */
function replace(run: Run): void {
  if (isOver(run)) return;
  run.opening += 1;
  open(run)
    .then((link) => use(run, link))
    .catch(() => setTimeout(() => replace(run), RECONNECT_MS))
    .finally(() => {
      run.opening -= 1;
    });
}

/** Requests at even distances. The tick's own lateness is the generator's and does not count; waiting for a connection does. */
function pace(run: Run): void {
  const { ratePerS, requestsMax, connections } = run.plan;
  const began = performance.now();
  let sent = 0;
  const tick = (): void => {
    const now = performance.now();
    const target = Math.min(Math.floor(((now - began) * ratePerS) / 1_000) + 1, requestsMax);
    for (; sent < target && !isOver(run); sent++) {
      const link = run.free.pop();
      if (link) fireNext(run, link, now);
      else {
        run.tally.waited += 1;
        run.due.push(now);
        if (run.links.size + run.opening < connections) replace(run);
      }
    }
    if (!isOver(run)) setTimeout(tick, 1);
    else endWhenDone(run);
  };
  tick();
}

/** Resolves when every request is answered or lost, at the latest the plan's grace after the last one may go out. */
async function untilEnd(run: Run, ended: Promise<void>): Promise<void> {
  let overSince = Number.POSITIVE_INFINITY;
  const watch = setInterval(() => {
    if (isOver(run)) overSince = Math.min(overSince, performance.now());
    if (performance.now() - overSince > run.plan.graceMs) run.end();
  }, WATCH_EVERY_MS);
  await ended;
  clearInterval(watch);
}

/**
 * Runs a plan to its end. Throws when the server cannot be reached at the beginning.
 * @param stopped asked before each request: true ends the run early
 */
export async function shoot(plan: LoadPlan, stopped: () => boolean): Promise<LoadResult> {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const run: Run = {
    plan,
    stopped,
    bullets: plan.shots.map(bulletOf),
    next: 0,
    tally: createTally(),
    links: new Set(),
    free: [],
    due: [],
    opening: 0,
    busy: 0,
    until: Number.POSITIVE_INFINITY,
    over: false,
    end,
  };
  const first = plan.ratePerS > 0 ? Math.min(plan.connections, OPENED_FIRST) : plan.connections;
  const links = await Promise.all(Array.from({ length: first }, () => open(run)));
  const startedAt = performance.timeOrigin + performance.now();
  run.until = performance.now() + plan.seconds * 1_000;
  for (const link of links) use(run, link);
  if (plan.ratePerS > 0) pace(run);
  await untilEnd(run, ended);
  for (const link of run.links) {
    if (link.bullet !== null) run.tally.lost += 1;
    link.bullet = null;
    link.socket.destroy();
  }
  return resultOf(run.tally, startedAt);
}
