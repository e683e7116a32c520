/**
 * The load generator itself: raw keep-alive sockets, requests that were built before, one on its way per connection. It runs
 * in a process of its own, so that its CPU is told apart from what it measures.
 */
import { connect, type Socket } from 'node:net';
import { type Answer, readAnswer } from './answer.ts';
import { createHistogram, type Histogram } from './histogram.ts';
import { type LoadPlan, type LoadResult, SERIAL, type Shot } from './plan.ts';

type Bullet = { bytes: Buffer; serialsAt: readonly number[]; messages: number; rials: number };

type Link = {
  socket: Socket;
  /** The request on its way; null while the connection is free. */
  bullet: Bullet | null;
  serial: number;
  /** Monotonic milliseconds. */
  since: number;
  partial: Buffer | null;
};

type Tally = {
  latency: Histogram;
  statuses: Map<number, number>;
  requests: number;
  lost: number;
  accepted: number;
  acceptedRials: number;
  waited: number;
  serials: [number, number][];
};

const CONNECT_WITHIN_MS = 10_000;
const WATCH_EVERY_MS = 100;
/** A batch's answer begins with its id, then its count. */
const ACCEPTED_COUNT = /"accepted":(\d+)/;
const HEAD_BYTES = 120;

function bulletOf({ request, messages, rials }: Shot): Bullet {
  const bytes = Buffer.from(request);
  const serialsAt: number[] = [];
  for (let at = bytes.indexOf(SERIAL); at >= 0; at = bytes.indexOf(SERIAL, at + SERIAL.length)) serialsAt.push(at);
  return { bytes, serialsAt, messages, rials };
}

/** Writes the serial into the request's bytes. They were last used thousands of requests ago: the system has them long since. */
function mark({ bytes, serialsAt }: Bullet, serial: number): void {
  for (const at of serialsAt) {
    let rest = serial;
    for (let i = at + SERIAL.length - 1; i >= at; i--) {
      bytes[i] = 48 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
  }
}

function openSocket({ host, port }: LoadPlan): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    socket.setTimeout(CONNECT_WITHIN_MS, () => socket.destroy(new Error('no connection in time')));
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

function countAnswer(tally: Tally, plan: LoadPlan, link: Link, { status, body }: Answer): void {
  const bullet = link.bullet as Bullet;
  tally.statuses.set(status, (tally.statuses.get(status) ?? 0) + 1);
  if (status !== 202) return;
  let messages = bullet.messages;
  if (messages > 1) messages = Number(ACCEPTED_COUNT.exec(body.toString('latin1', 0, HEAD_BYTES))?.[1] ?? 0);
  tally.accepted += messages;
  tally.acceptedRials += messages === bullet.messages ? bullet.rials : (bullet.rials / bullet.messages) * messages;
  if (plan.keepSerials) tally.serials.push([link.serial, performance.timeOrigin + performance.now()]);
}

/**
 * Runs a plan to its end.
 * @param stopped asked before each request: true ends the run early
 */
export async function shoot(plan: LoadPlan, stopped: () => boolean): Promise<LoadResult> {
  const bullets = plan.shots.map(bulletOf);
  const tally: Tally = {
    latency: createHistogram(),
    statuses: new Map(),
    requests: 0,
    lost: 0,
    accepted: 0,
    acceptedRials: 0,
    waited: 0,
    serials: [],
  };
  const links: Link[] = [];
  const free: Link[] = [];
  let busy = 0;
  let opening = 0;
  let next = 0;
  let over = false;
  let ended: () => void = () => undefined;
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  /** With a rate: the instants of requests that wait for a connection. */
  const due: number[] = [];
  let until = Number.POSITIVE_INFINITY;
  let lastAnswerAt = 0;

  const isOver = (): boolean => {
    over ||= tally.requests >= plan.requestsMax || performance.now() >= until || stopped();
    return over;
  };
  const fire = (link: Link, since: number): void => {
    const bullet = bullets[next] as Bullet;
    next = next + 1 === bullets.length ? 0 : next + 1;
    link.serial = plan.serialFrom + tally.requests;
    mark(bullet, link.serial);
    tally.requests += 1;
    busy += 1;
    link.bullet = bullet;
    link.since = since;
    link.socket.write(bullet.bytes);
  };
  /** A connection has become free: the next request goes into it, or nothing is left to do. */
  const release = (link: Link): void => {
    if (plan.ratePerS > 0) {
      const since = due.shift();
      if (since === undefined) free.push(link);
      else fire(link, since);
    } else if (!isOver()) fire(link, performance.now());
    if (busy === 0 && opening === 0 && due.length === 0 && isOver()) ended();
  };
  const onData = (link: Link, chunk: Buffer): void => {
    const bytes = link.partial ? Buffer.concat([link.partial, chunk]) : chunk;
    const answer = readAnswer(bytes);
    link.partial = answer === null ? bytes : null;
    if (answer === null || link.bullet === null) return;
    lastAnswerAt = performance.now();
    tally.latency.record((lastAnswerAt - link.since) * 1_000);
    countAnswer(tally, plan, link, answer);
    link.bullet = null;
    busy -= 1;
    release(link);
  };
  const adopt = (socket: Socket): Link => {
    const link: Link = { socket, bullet: null, serial: 0, since: 0, partial: null };
    links.push(link);
    socket.on('data', (chunk: Buffer) => onData(link, chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      const at = free.indexOf(link);
      if (at >= 0) free.splice(at, 1);
      if (link.bullet === null) return;
      link.bullet = null;
      busy -= 1;
      tally.lost += 1;
      replace();
    });
    return link;
  };
  const replace = (): void => {
    if (isOver()) {
      if (busy === 0 && opening === 0) ended();
      return;
    }
    opening += 1;
    openSocket(plan).then(
      (socket) => {
        opening -= 1;
        release(adopt(socket));
      },
      () => {
        opening -= 1;
        // The server is away (a scenario may have killed it): try again until the run is over.
        setTimeout(replace, 100);
      },
    );
  };

  /** Requests at even distances. The tick's own lateness is the generator's and not counted; waiting for a connection is. */
  const pace = (): void => {
    const began = performance.now();
    let sent = 0;
    const tick = (): void => {
      const now = performance.now();
      const target = Math.min(Math.floor(((now - began) * plan.ratePerS) / 1_000) + 1, plan.requestsMax);
      while (sent < target && !isOver()) {
        sent += 1;
        const link = free.pop();
        if (link) fire(link, now);
        else {
          tally.waited += 1;
          due.push(now);
          if (links.length + opening < plan.connections) replace();
        }
      }
      if (!isOver()) setTimeout(tick, 1);
      else if (busy === 0 && due.length === 0) ended();
    };
    tick();
  };

  /** The end, or, when answers do not come, so long after the last request. */
  const untilEnd = async (): Promise<void> => {
    let overSince = Number.POSITIVE_INFINITY;
    const watch = setInterval(() => {
      if (isOver()) overSince = Math.min(overSince, performance.now());
      if (performance.now() - overSince > plan.graceMs) ended();
    }, WATCH_EVERY_MS);
    await end;
    clearInterval(watch);
  };

  const atFirst = plan.ratePerS > 0 ? Math.min(plan.connections, 16) : plan.connections;
  const sockets = await Promise.all(Array.from({ length: atFirst }, () => openSocket(plan)));
  const startedAt = performance.timeOrigin + performance.now();
  until = performance.now() + plan.seconds * 1_000;
  const opened = sockets.map(adopt);
  if (plan.ratePerS > 0) {
    free.push(...opened);
    pace();
  } else for (const link of opened) release(link);
  await untilEnd();
  const endedAt = performance.timeOrigin + lastAnswerAt;
  for (const link of links) {
    if (link.bullet !== null) tally.lost += 1;
    link.bullet = null;
    link.socket.destroy();
  }

  const { latency, statuses, requests, lost, accepted, acceptedRials, waited, serials } = tally;
  return {
    startedAt,
    endedAt,
    requests,
    statuses: Object.fromEntries(statuses),
    lost,
    accepted,
    acceptedRials,
    latencyMs: {
      mean: latency.meanMs,
      p50: latency.percentileMs(0.5),
      p90: latency.percentileMs(0.9),
      p99: latency.percentileMs(0.99),
      p999: latency.percentileMs(0.999),
      max: latency.maxMicros / 1_000,
    },
    waited,
    serials,
  };
}
