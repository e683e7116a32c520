/** The bench's own account: what it charged and what the gateway told it was accepted. The check holds the system to it. */
import type { LoadResult } from './load/plan.ts';
import type { Stack } from './stack.ts';

export type Books = {
  /** The accounts that send, all charged beforehand. */
  readonly accounts: readonly string[];
  readonly chargedRials: number;
  /** Messages of 202 answers so far, and their price. */
  readonly accepted: number;
  readonly acceptedRials: number;
  /** Requests whose answer was lost: each of their messages is accepted or not, nobody knows. */
  readonly lostMessages: number;
  /** What earlier scenarios with faults left: messages that rightly failed, and their refunded price. */
  readonly excused: Readonly<Excuse>;
  excuse(excuse: Excuse): void;
  /** The first of `count` serials that no message has yet. */
  serials(count: number): number;
  /** @param messagesPerRequest what a lost request held */
  add(result: Pick<LoadResult, 'accepted' | 'acceptedRials' | 'lost'>, messagesPerRequest: number): void;
};

export type Excuse = { failed: number; refundedRials: number };

/** More than any scenario spends. */
const CHARGE_RIALS = 10_000_000_000_000;
const AT_ONCE = 16;

async function charge(stack: Stack, account: string): Promise<void> {
  const url = `${stack.urls.billing}/charge/${account}?amount=${CHARGE_RIALS}`;
  const answer = await fetch(url, { method: 'POST' });
  if (!answer.ok) throw new Error(`the account ${account} could not be charged: ${answer.status}`);
  await answer.arrayBuffer();
}

/** Charges `count` fresh accounts. */
export async function openBooks(stack: Stack, count: number): Promise<Books> {
  const accounts = Array.from({ length: count }, (_, i) => `bench-${String(i + 1).padStart(3, '0')}`);
  for (let from = 0; from < count; from += AT_ONCE) {
    await Promise.all(accounts.slice(from, from + AT_ONCE).map((account) => charge(stack, account)));
  }
  let accepted = 0;
  let acceptedRials = 0;
  let lostMessages = 0;
  let serial = 0;
  let excused: Excuse = { failed: 0, refundedRials: 0 };
  return {
    accounts,
    chargedRials: CHARGE_RIALS * count,
    get accepted() {
      return accepted;
    },
    get acceptedRials() {
      return acceptedRials;
    },
    get lostMessages() {
      return lostMessages;
    },
    get excused() {
      return excused;
    },
    excuse: (next) => {
      excused = next;
    },
    serials: (wanted) => {
      serial += wanted;
      // Eight digits hold a hundred million requests; they come round after that.
      return (serial - wanted) % 100_000_000;
    },
    add: (result, messagesPerRequest) => {
      accepted += result.accepted;
      acceptedRials += result.acceptedRials;
      lostMessages += result.lost * messagesPerRequest;
    },
  };
}
