/** Clients as they are: many at once, who ask again with their key when nobody answers, or just go away. */
import { setTimeout as delay } from 'node:timers/promises';
import type { SendBody } from '../support/api.ts';
import type { Stack } from '../support/stack.ts';
import type { Told } from './history.ts';

/** Between two tries of one client. */
const AGAIN_MS = 50;
const GIVE_UP_AFTER_MS = 60_000;

export type Job = { body: SendBody /** Without a key a client asks once. */; key?: string };

/** One send, until the client was told something for certain, or has none to ask with. */
async function sendOne(stack: Stack, { body, key }: Job): Promise<Told> {
  const { user_id: userId } = body;
  const until = performance.now() + GIVE_UP_AFTER_MS;
  for (;;) {
    const answer = await stack.trySend(body, key).catch(() => null);
    if (answer?.status === 202) {
      return { kind: 'accepted', id: answer.json.message_id, price: answer.json.price, userId };
    }
    const unknown = answer === null || answer.json?.code === 'outcome_unknown';
    if (key === undefined) {
      return unknown ? { kind: 'unknown', id: answer?.json?.message_id ?? null, userId } : { kind: 'refused', userId };
    }
    // What was refused last may have been accepted before: without an answer to its key nobody knows.
    if (performance.now() > until) return { kind: 'unknown', id: null, userId };
    await delay(AGAIN_MS);
  }
}

export type Crowd = {
  /** What was told so far. */
  readonly told: readonly Told[];
  /** Resolves when every job was told. */
  done: Promise<void>;
};

/** Works the jobs off over so many connections at once. */
export function startCrowd(stack: Stack, jobs: readonly Job[], connections: number): Crowd {
  const told: Told[] = [];
  let next = 0;
  const client = async (): Promise<void> => {
    for (let job = jobs[next++]; job; job = jobs[next++]) told.push(await sendOne(stack, job));
  };
  const done = Promise.all(Array.from({ length: connections }, client)).then(() => undefined);
  return { told, done };
}
