/** The topics, their partitions and which partition belongs to whom. The names are a contract. */

export const TOPICS = {
  express: 'sms-express',
  normal: 'sms-normal',
  bulk: 'sms-bulk',
  dlq: 'sms-dlq',
  status: 'sms-status',
  ledger: 'billing-ledger',
} as const;

/** A lane is the order of precedence at an operator; each has a topic and consumers of its own. */
export type Lane = 'express' | 'normal' | 'bulk';
export const LANES: readonly Lane[] = ['express', 'normal', 'bulk'];

/** Operators are spread over this many slots; those of one slot share its partitions, and never with another slot. */
export const SLOTS = 4;
/** Waits before retry 1, 2 and 3: each tier is a set of partitions with one wait, so that it is first in, first out. */
export const RETRY_TIERS = 3;
/** One submit and up to three retries. */
export const ATTEMPTS_MAX = 1 + RETRY_TIERS;

const LANE_TOPICS: ReadonlySet<string> = new Set([TOPICS.express, TOPICS.normal, TOPICS.bulk]);

export const PARTITIONS: Readonly<Record<string, number>> = {
  [TOPICS.express]: SLOTS * 3,
  [TOPICS.normal]: SLOTS * 3,
  [TOPICS.bulk]: SLOTS * 3,
  [TOPICS.dlq]: SLOTS * RETRY_TIERS,
  [TOPICS.status]: 6,
  [TOPICS.ledger]: 3,
};

/** What is wrong with a topic of so many partitions, in a sentence with the mend; null when every slot and tier has its own. */
export function partitionsFault(topic: string, partitions: number): string | null {
  const step = LANE_TOPICS.has(topic) ? SLOTS : 1;
  const least = topic === TOPICS.dlq ? SLOTS * RETRY_TIERS : step;
  if (partitions >= least && partitions % step === 0) return null;
  const needs = step > 1 ? `a multiple of ${step}` : `at least ${least}`;
  const more = Math.max(PARTITIONS[topic] ?? 1, Math.ceil(partitions / step) * step);
  return `The Kafka topic ${topic} has ${partitions} partitions and needs ${needs}; give it more: \`kafka-topics.sh --alter --topic ${topic} --partitions ${more}\``;
}

/**
 * The partitions of a lane's topic that belong to an operator's slot.
 * @param partitions how many the topic really has: a multiple of SLOTS
 */
export function lanePartition(slot: number, turn: number, partitions: number = SLOTS * 3): number {
  const perSlot = Math.max(1, Math.floor(partitions / SLOTS));
  return (slot % SLOTS) * perSlot + (turn % perSlot);
}

/** The slot that a lane topic's partition belongs to. */
export function slotOf(partition: number, partitions: number = SLOTS * 3): number {
  return Math.min(SLOTS - 1, Math.floor(partition / Math.max(1, Math.floor(partitions / SLOTS))));
}

/** The partition of `sms-dlq` for an operator's slot and a retry (1 to RETRY_TIERS). */
export function retryPartition(slot: number, retry: number): number {
  return (slot % SLOTS) * RETRY_TIERS + (Math.min(Math.max(retry, 1), RETRY_TIERS) - 1);
}
