/** Receipts of an HTTP operator: `POST {id, status, at, error}` to the address set, tried again a few times. */
import { writeId } from './operator.ts';
import type { Receipt } from './receipts.ts';
import type { Schedule } from './schedule.ts';

const AT_ONCE_MAX = 32;
const TRIES_MAX = 5;
const WAITING_MAX = 100_000;
const ANSWER_WAIT_MS = 5_000;

export type Callback = { post(receipt: Receipt, url: string): void; close(): void };

type Post = { receipt: Receipt; url: string; body: string; tries: number };

/** Planned before the operator's last reset. */
const stale = ({ receipt }: Post): boolean => receipt.era !== receipt.operator.era;

export function createCallback(schedule: Schedule): Callback {
  const waiting: Post[] = [];
  const ending = new AbortController();
  let busy = 0;

  const send = async (post: Post): Promise<boolean> => {
    try {
      const response = await fetch(post.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: post.body,
        signal: AbortSignal.any([ending.signal, AbortSignal.timeout(ANSWER_WAIT_MS)]),
      });
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  };

  const work = async (post: Post): Promise<void> => {
    const { operator } = post.receipt;
    busy++;
    operator.counters.receipts_sent++;
    const taken = await send(post);
    busy--;
    if (stale(post)) return next();
    if (taken) operator.counters.receipts_answered++;
    else {
      operator.counters.receipts_refused++;
      post.tries++;
      if (post.tries < TRIES_MAX) schedule.after(operator.dials.receipts.retry_ms, () => enqueue(post));
    }
    next();
  };

  const next = (): void => {
    while (busy < AT_ONCE_MAX && waiting.length > 0 && !ending.signal.aborted) {
      const post = waiting.shift() as Post;
      if (!stale(post)) void work(post);
    }
  };

  const enqueue = (post: Post): void => {
    if (waiting.length < WAITING_MAX) waiting.push(post);
    next();
  };

  return {
    post: (receipt, url) => {
      const { operator } = receipt;
      const body = JSON.stringify({
        id: writeId(receipt.id, operator.dials.id_form, 'receipt'),
        status: receipt.stat === 'DELIVRD' ? 'delivered' : 'undelivered',
        at: new Date(receipt.doneMs).toISOString(),
        ...(receipt.error === '000' ? {} : { error: receipt.error }),
      });
      enqueue({ receipt, url, body, tries: 0 });
    },
    close: () => {
      waiting.length = 0;
      ending.abort();
    },
  };
}
