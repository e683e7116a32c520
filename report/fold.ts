/**
 * The events of one message, folded into one patch of its row before anything is written. Pure. The rules of forward-only
 * stand here and, for what is in the table already, once more in upsert.ts: the order of arrival decides nothing.
 */
import type { MessageEvent, ReceiptEvent, StatusEvent } from '../shared/events.ts';
import type { HistoryStep, PartReceipt } from './schema.ts';

/** What the record in Redis decides; `delivered` and `undelivered` follow from it and the receipts. */
export type Decided = 'queued' | StatusEvent['status'];

const RANK: Readonly<Record<Decided, number>> = { queued: 0, retrying: 1, unknown: 2, sent: 3, failed: 4 };
const isFinal = (status: Decided): boolean => status === 'sent' || status === 'failed';

export type Patch = {
  id: string;
  user_id: string;
  /** The `queued` event where it came. */
  message: MessageEvent | null;
  /** The decision that stands; null while only `queued` or receipts came. */
  decision: StatusEvent | null;
  /** Further decisions, older or newer than the one that stands: steps of the timeline. */
  others: StatusEvent[];
  /** By the operator's id of the part. */
  receipts: Map<string, ReceiptEvent> | null;
};

/** Whether a decision takes the place of the one that stands: sent and failed are final, else the later version wins. */
export function takesOver(
  standing: { status: Decided; version: number },
  next: { status: Decided; version: number },
): boolean {
  if (isFinal(standing.status)) return false;
  if (isFinal(next.status)) return true;
  return (
    next.version > standing.version || (next.version === standing.version && RANK[next.status] > RANK[standing.status])
  );
}

/**
 * What is shown of a decision and its receipts: a message is delivered when each of its parts is, undelivered when any is not.
 * Receipts of what was refunded are history and change nothing.
 * @param parts of which receipts are expected (expectedParts); at least one is
 */
export function shownStatus(
  decided: Decided,
  receipts: Iterable<{ status: 'delivered' | 'undelivered' }>,
  parts: number,
): Decided | 'delivered' | 'undelivered' {
  if (decided !== 'sent') return decided;
  let delivered = 0;
  for (const { status } of receipts) {
    if (status === 'undelivered') return 'undelivered';
    delivered += 1;
  }
  return delivered >= Math.max(parts, 1) ? 'delivered' : 'sent';
}

/** Of a message of which some parts are missing no receipts make a delivered one as long as its pages are not known. */
const PAGES_UNKNOWN = 32_767;

/** How many parts' receipts make a sent message delivered: of each id that the operator gave, and of every page where only some were. */
export function expectedParts({ decision, message }: Pick<Patch, 'decision' | 'message'>): number {
  const ids = decision?.operator_ids.length ?? 0;
  return decision?.flags.includes('partial') ? Math.max(ids, message?.pages ?? PAGES_UNKNOWN) : ids;
}

export function patchOf(id: string, user_id: string): Patch {
  return { id, user_id, message: null, decision: null, others: [], receipts: null };
}

export function addMessage(patch: Patch, event: MessageEvent): void {
  patch.message ??= event;
}

export function addStatus(patch: Patch, event: StatusEvent): void {
  const standing = patch.decision;
  if (standing === null) patch.decision = event;
  else if (event.version === standing.version || patch.others.some((o) => o.version === event.version)) return;
  else if (takesOver(standing, event)) {
    patch.others.push(standing);
    patch.decision = event;
  } else patch.others.push(event);
}

/** The first receipt of a part stands; a second one that says otherwise changes nothing. */
export function addReceipt(patch: Patch, event: ReceiptEvent): void {
  patch.receipts ??= new Map();
  if (!patch.receipts.has(event.operator_id)) patch.receipts.set(event.operator_id, event);
}

const stepOf = (e: StatusEvent): HistoryStep => ({
  s: e.status,
  a: e.attempt,
  ...(e.operator === '' ? {} : { o: e.operator }),
  ...(e.posted === 0 ? {} : { p: e.posted }),
  ...(e.error === null ? {} : { e: e.error }),
  at: e.at,
});

/** The decisions that others took the place of as JSON for the `history` column; null when there are none. */
export function historyJson({ others }: Patch): string | null {
  return others.length === 0 ? null : JSON.stringify(Object.fromEntries(others.map((e) => [e.version, stepOf(e)])));
}

/** The patch's receipts as JSON for the `receipts` column; null when there are none. */
export function receiptsJson({ receipts }: Patch): string | null {
  if (receipts === null) return null;
  const parts = [...receipts.values()].map((r): [string, PartReceipt] => [
    r.operator_id,
    {
      s: r.status,
      ...(r.error === null ? {} : { e: r.error }),
      ...(r.part && r.message_id !== undefined ? { part: true as const } : {}),
      at: r.at,
    },
  ]);
  return JSON.stringify(Object.fromEntries(parts));
}

/** The latest instant that the patch tells of, epoch milliseconds. */
export function lastAt({ message, decision, others, receipts }: Patch): number {
  let at = Math.max(message?.accepted_at ?? 0, decision?.at ?? 0);
  for (const other of others) at = Math.max(at, other.at);
  if (receipts !== null) for (const receipt of receipts.values()) at = Math.max(at, receipt.at);
  return at;
}
