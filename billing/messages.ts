/** Hold, Claim, Settle: a batch becomes one script call per shard, and the answers go back in the batch's order. */

import {
  ClaimCode,
  type ClaimReply,
  type ClaimRequest,
  type ClaimResult,
  type HoldGroup,
  type HoldGroupReply,
  HoldOutcome,
  type HoldReply,
  type HoldRequest,
  Outcome,
  type Published,
  type Ref,
  type SettleItem,
  type SettleReply,
  type SettleRequest,
  type SettleResult,
} from '../shared/billing.ts';
import { AppError } from '../shared/error.ts';
import { failpoint } from '../shared/failpoint.ts';
import { isId } from '../shared/id.ts';
import { isAmount } from '../shared/money.ts';
import { ID_SEPARATOR, publicationOf, type RecordFields } from './outcome.ts';
import { answersOf, type Scripts } from './scripts.ts';
import type { Shards } from './shard.ts';

export type MessageDeps = {
  scripts: Scripts;
  /** Why no hold is taken at the moment; null when all is well. */
  refusal: () => string | null;
};

/** Splits items by their account's shard and remembers where each stood. */
function byShard<T extends { user_id: string }>(
  { tagOf }: Shards,
  items: readonly T[],
): Map<string, { items: T[]; places: number[] }> {
  const shards = new Map<string, { items: T[]; places: number[] }>();
  items.forEach((item, place) => {
    const tag = tagOf(item.user_id);
    const shard = shards.get(tag);
    if (shard) {
      shard.items.push(item);
      shard.places.push(place);
    } else shards.set(tag, { items: [item], places: [place] });
  });
  return shards;
}

/** The shards that two lists touch. */
const tagsOf = (...lists: ReadonlyMap<string, unknown>[]): string[] => [
  ...new Set(lists.flatMap((list) => [...list.keys()])),
];

/**
 * Runs a batch's shards at once and waits for all of them. `unavailable` is said only when none of them did anything: where one
 * shard may have, the whole call's outcome is unknown, and it is made again with the same ids.
 */
async function allShards(tags: readonly string[], work: (tag: string) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(tags.map(work));
  const failures = results.filter((result) => result.status === 'rejected').map(({ reason }) => reason as unknown);
  if (failures.length === 0) return;
  if (failures.length === tags.length && failures.every(isUnavailable)) throw failures[0];
  const cause = failures.find((failure) => !isUnavailable(failure)) ?? failures[0];
  throw new AppError('outcome_unknown', 'The balances did not answer in time.', { cause });
}

const isUnavailable = (thrown: unknown): boolean => thrown instanceof AppError && thrown.code === 'unavailable';

const USER_ID = /^[A-Za-z0-9_.-]{1,64}$/;
const INSTANT_MAX_MS = 999_999_999_999_999;
/** Epoch milliseconds, of 15 digits at most. */
export const isInstant = (ms: number): boolean => Number.isInteger(ms) && ms >= 0 && ms <= INSTANT_MAX_MS;

/** Money enters the scripts here: a caller's fault must not create any. Throws `invalid_request` for the whole call. */
function checkHold(groups: readonly HoldGroup[]): void {
  for (const { user_id, items } of groups) {
    if (!USER_ID.test(user_id)) throw new AppError('invalid_request', 'A hold names no account.');
    for (const { message_id, price, valid_until, event } of items) {
      if (!isId(message_id) || !isAmount(price) || !isInstant(valid_until) || event.length === 0)
        throw new AppError('invalid_request', 'A hold needs a UUIDv7, a price above zero, an instant and an event.');
    }
  }
}

/**
 * One shard's hold as its script takes it. The events go beside the JSON as they came, one behind the other: nobody here or in the
 * script reads them.
 */
export function holdArgs(produced: readonly Ref[], groups: readonly HoldGroup[]): [json: string, events: Buffer] {
  const events: Uint8Array[] = [];
  const asked: (string | number)[] = [];
  const held: (string | number)[] = [];
  let end = 0;
  for (const { user_id, idempotency_key, body_hash, batch_id, refused, items } of groups) {
    asked.push(user_id, idempotency_key, body_hash, batch_id, refused, items.length);
    for (const { message_id, price, valid_until, event, answer } of items) {
      const first = end + 1;
      events.push(event);
      end += event.length;
      held.push(message_id, price, valid_until, first, end, answer);
    }
  }
  return [JSON.stringify([produced.map(({ message_id }) => message_id), asked, held]), Buffer.concat(events, end)];
}

/** One shard's groups in one script; null when Redis refused them before any effect: then the productions go alone. */
async function holdShard(
  scripts: Scripts,
  tag: string,
  produced: Ref[],
  groups: HoldGroup[],
): Promise<HoldAnswer[] | null> {
  try {
    return answersOf<HoldAnswer>(await scripts.hold(tag, ...holdArgs(produced, groups)));
  } catch (thrown) {
    if (!isUnavailable(thrown) || groups.length === 0) throw thrown;
    if (produced.length > 0) await scripts.hold(tag, ...holdArgs(produced, []));
    return null;
  }
}

/**
 * Holds are durable when this resolves. Groups are refused as OVERLOADED, before any effect, when a soft limit is passed or
 * Redis has no memory for them; the productions that ride along are confirmed all the same.
 */
export async function hold({ scripts, refusal }: MessageDeps, request: HoldRequest): Promise<HoldReply> {
  checkHold(request.groups);
  const overloaded = refusal() !== null;
  const groups = byShard(scripts.shards, overloaded ? [] : request.groups);
  const produced = byShard(scripts.shards, request.produced);
  const replies = request.groups.map(() => plainReply(HoldOutcome.OVERLOADED));
  await allShards(tagsOf(groups, produced), async (tag) => {
    const shard = groups.get(tag);
    const answers = await holdShard(scripts, tag, produced.get(tag)?.items ?? [], shard?.items ?? []);
    if (answers === null) return;
    answers.forEach((answer, i) => {
      replies[shard?.places[i] as number] = holdReply(answer);
    });
  });
  return { groups: replies };
}

type HoldAnswer =
  | [outcome: typeof HoldOutcome.HELD, open: number, ...codes: number[]]
  | [outcome: typeof HoldOutcome.REPLAYED, batchId: string, refused: string, ...answers: string[]]
  | [outcome: typeof HoldOutcome.CONFLICT];

/** Of an outcome that says all there is to say. */
const plainReply = (outcome: number): HoldGroupReply => ({
  outcome,
  codes: [],
  answers: [],
  batch_id: '',
  open: 0,
  refused: '',
});

function holdReply(answer: HoldAnswer): HoldGroupReply {
  const plain = plainReply(answer[0]);
  if (answer[0] === HoldOutcome.HELD) return { ...plain, open: answer[1], codes: answer.slice(2) as number[] };
  if (answer[0] === HoldOutcome.REPLAYED)
    return { ...plain, batch_id: answer[1], refused: answer[2], answers: answer.slice(3) as string[] };
  return plain;
}

/** Outcomes that Kafka confirmed as the scripts take them. */
const refs = (published: readonly Published[] = []): (string | number)[] =>
  published.flatMap(({ message_id, version }) => [message_id, version]);

type WithOutcome = [code: number, ...RecordFields];

const NOTHING_TO_PUBLISH = { version: 0, outcome: '', retry: '', retry_number: 0 };

/** What is to be published of an answer. */
function outgoing(id: string, [, ...fields]: WithOutcome): typeof NOTHING_TO_PUBLISH {
  const publication = publicationOf(id, fields);
  if (publication === null) return NOTHING_TO_PUBLISH;
  const { confirm: version, outcome, retry, retryNumber } = publication;
  return { version, outcome, retry, retry_number: retryNumber };
}

type ClaimAnswer = number | [code: typeof ClaimCode.EARLY, waitMs: number] | WithOutcome;

function claimResult(id: string, answer: ClaimAnswer): ClaimResult {
  if (typeof answer === 'number') return { code: answer, ...NOTHING_TO_PUBLISH, not_before: 0 };
  const [code, waitMs] = answer;
  if (code === ClaimCode.EARLY) return { code, ...NOTHING_TO_PUBLISH, not_before: Number(waitMs) };
  return { code, ...outgoing(id, answer as WithOutcome), not_before: 0 };
}

/** Takes each message that is held and due for one submit by `owner`. */
export async function claim({ scripts }: MessageDeps, request: ClaimRequest): Promise<ClaimReply> {
  if (request.owner === '' || request.ttl_ms < 1)
    throw new AppError('invalid_request', 'A claim needs an owner and a ttl.');
  const items = byShard(scripts.shards, request.items);
  const published = byShard(scripts.shards, request.published);
  const results = new Array<ClaimResult>(request.items.length);
  await allShards(tagsOf(items, published), async (tag) => {
    const shard = items.get(tag) ?? { items: [], places: [] };
    const wanted: (string | number)[] = [];
    for (const { message_id, attempt, claim, operator, resend_unknown, unknown_wait_ms } of shard.items)
      wanted.push(message_id, attempt, claim, operator, resend_unknown ? 1 : 0, unknown_wait_ms);
    const arg = JSON.stringify([request.owner, request.ttl_ms, refs(published.get(tag)?.items), wanted]);
    const answers = answersOf<ClaimAnswer>(await scripts.claim(tag, arg));
    answers.forEach((answer, i) => {
      results[shard.places[i] as number] = claimResult((shard.items[i] as Ref).message_id, answer);
    });
  });
  return { results };
}

const AS_SAID = 2;
type SettleAnswer =
  | number
  | [code: typeof AS_SAID, posted: string, flags: string, decidedAt: number, version: number]
  | WithOutcome;

function settleResult(item: SettleItem, answer: SettleAnswer): SettleResult {
  if (typeof answer === 'number') return { applied: answer === 1, ...NOTHING_TO_PUBLISH };
  if (answer[0] !== AS_SAID) return { applied: answer[0] === 1, ...outgoing(item.message_id, answer as WithOutcome) };
  const [, posted, flags, at, version] = answer as Extract<SettleAnswer, [typeof AS_SAID, ...unknown[]]>;
  const { message_id, attempt, operator, user_id, error } = item;
  const ids = item.operator_ids.join(ID_SEPARATOR);
  return {
    applied: true,
    ...outgoing(message_id, [1, 'sent', version, attempt, operator, ids, posted, error, flags, at, 0, user_id, 0, '']),
  };
}

const OUTCOMES: ReadonlySet<number> = new Set(Object.values(Outcome));

function checkSettle({ items }: SettleRequest): void {
  for (const { outcome, amount } of items) {
    if (!OUTCOMES.has(outcome) || !isAmount(amount, 0))
      throw new AppError('invalid_request', 'A settlement needs one of the outcomes and an amount.');
  }
}

/** Decides outcomes; each answer is the authoritative one, ready to be published. */
export async function settle({ scripts }: MessageDeps, request: SettleRequest): Promise<SettleReply> {
  checkSettle(request);
  const items = byShard(scripts.shards, request.items);
  const published = byShard(scripts.shards, request.published);
  const results = new Array<SettleResult>(request.items.length);
  await allShards(tagsOf(items, published), async (tag) => {
    const shard = items.get(tag) ?? { items: [], places: [] };
    const decided: (string | number)[] = [];
    for (const { message_id, attempt, claim, outcome, operator, operator_ids, amount, error, flags } of shard.items) {
      const [ids, words] = [operator_ids.join(ID_SEPARATOR), flags.join(',')];
      decided.push(message_id, attempt, claim, outcome, operator, ids, amount, error, words);
    }
    const arg = JSON.stringify([request.owner, refs(published.get(tag)?.items), decided]);
    const answers = answersOf<SettleAnswer>(await scripts.settle(tag, arg));
    if (answers.length > 0) failpoint('billing.settle_after_script');
    answers.forEach((answer, i) => {
      results[shard.places[i] as number] = settleResult(shard.items[i] as SettleItem, answer);
    });
  });
  return { results };
}
