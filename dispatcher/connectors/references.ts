/**
 * user_message_reference: 16 bits of ours that an SMSC may echo in a receipt. A message keeps its reference while its outcome is
 * open, and an unknown one keeps it afterwards, so that a receipt can settle it; an accepted one has the operator's id for
 * that. Sixteen bits come round within seconds, so a receipt must also be of the message's number.
 */

export type References = {
  /** 1 to 65535. */
  open(messageId: string, to: string): number;
  /** @param keep the outcome is unknown: a receipt may still come */
  close(reference: number, keep: boolean): void;
  /** @param number of the handset, as the receipt writes it */
  find(reference: number, number: string): string | undefined;
  readonly size: number;
};

const REFERENCE_MAX = 0xffff;
/** Unknown ones that are remembered; past it the oldest is forgotten, and only its number can settle it. */
export const KEPT_MAX = 16_384;

type Entry = { messageId: string; number: string };

/** Operators write numbers with and without the country's code. */
const lastDigits = (number: string): string => number.slice(-10);

export function createReferences(): References {
  const open = new Map<number, Entry>();
  const kept = new Map<number, Entry>();
  // A process that starts anew must not begin where its receipts still come for.
  let last = Math.floor(Math.random() * REFERENCE_MAX);

  const next = (): number => {
    for (let tries = 0; tries < REFERENCE_MAX; tries += 1) {
      last = last >= REFERENCE_MAX ? 1 : last + 1;
      if (!open.has(last) && !kept.has(last)) return last;
    }
    // Every one is in use: an operator with so wide a window gets one twice, which the number tells apart.
    return last;
  };

  return {
    open(messageId, to) {
      const reference = next();
      open.set(reference, { messageId, number: lastDigits(to) });
      return reference;
    },
    close(reference, keep) {
      const entry = open.get(reference);
      open.delete(reference);
      if (!keep || !entry) return;
      kept.set(reference, entry);
      if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value as number);
    },
    find(reference, number) {
      const entry = open.get(reference) ?? kept.get(reference);
      return entry?.number === lastDigits(number) ? entry.messageId : undefined;
    },
    get size() {
      return open.size + kept.size;
    },
  };
}
