/** Hold, Claim, Settle, Relay: a batch becomes one script call per shard, and the answers go back in the batch's order. */

import {
  type ClaimReply,
  type ClaimRequest,
  type ClaimResult,
  type HoldGroup,
  HoldOutcome,
  type HoldReply,
  type HoldRequest,
  Outcome,
  type Published,
  type Ref,
  type RelayReply,
  type RelayRequest,
  type SettleItem,
  type SettleReply,
  type SettleRequest,
  type SettleResult,
} from '../shared/billing.ts';
import { AppError } from '../shared/error.ts';
import { failpoint } from '../shared/failpoint.ts';
import { isId } from '../shared/id.ts';
import { parseAmount } from '../shared/money.ts';
import { ID_SEPARATOR, publicationOf, type RecordFields } from './outcome.ts';
import type { Scripts } from './scripts.ts';
import { TAGS, tagOf } from './shard.ts';

export type MessageDeps = {
  scripts: Scripts;
  /** Why no hold is taken at the moment; null when all is well. */
  refusal: () => string | null;
};

type Args = (string | number)[];

/** Splits items by their account's shard and remembers where each stood. */
function byShard<T extends { user_id: string }>(items: readonly T[]): Map<string, { items: T[]; places: number[] }> {
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
const INSTANT = /^[0-9]{1,15}$/;

/** Money enters the scripts here: a caller's fault must not create any. Throws `invalid_request` for the whole call. */
function checkHold(groups: readonly HoldGroup[]): void {
  for (const { user_id, items } of groups) {
    if (!USER_ID.test(user_id)) throw new AppError('invalid_request', 'A hold names no account.');
    for (const { message_id, price, valid_until } of items) {
      if (!isId(message_id) || parseAmount(price) === null || !INSTANT.test(valid_until))
        throw new AppError('invalid_request', 'A hold needs a UUIDv7, a price above zero and an instant.');
    }
  }
}

function holdArgs(produced: readonly Ref[], groups: readonly HoldGroup[]): Args {
  const args: Args = [produced.length];
  for (const { message_id } of produced) args.push(message_id);
  args.push(groups.length);
  for (const group of groups) {
    args.push(group.user_id, group.idempotency_key, group.body_hash, group.batch_id, group.items.length);
    for (const item of group.items) {
      args.push(item.message_id, item.price, item.valid_until, item.event);
      if (group.idempotency_key !== '') args.push(item.answer);
    }
  }
  return args;
}

/** One shard's groups in one script; null when Redis refused them before any effect: then the productions go alone. */
async function holdShard(
  scripts: Scripts,
  tag: string,
  produced: Ref[],
  groups: HoldGroup[],
): Promise<unknown[] | null> {
  try {
    return (await scripts.hold(tag, ...holdArgs(produced, groups))) as unknown[];
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
  const groups = byShard(overloaded ? [] : request.groups);
  const produced = byShard(request.produced);
  const replies: HoldReply['groups'] = request.groups.map(() => ({
    outcome: HoldOutcome.OVERLOADED,
    codes: [],
    answers: [],
    batch_id: '',
    open: 0,
  }));
  await allShards(tagsOf(groups, produced), async (tag) => {
    const shard = groups.get(tag);
    const answers = await holdShard(scripts, tag, produced.get(tag)?.items ?? [], shard?.items ?? []);
    if (answers === null) return;
    (answers as HoldAnswer[]).forEach(([outcome, open, batch_id, codes, first], i) => {
      replies[shard?.places[i] as number] = { outcome, open, batch_id, codes, answers: first };
    });
  });
  return { groups: replies };
}

type HoldAnswer = [outcome: number, open: number, batchId: string, codes: number[], answers: string[]];

function publishedArgs(published: readonly Published[]): Args {
  const args: Args = [published.length];
  for (const { message_id, version } of published) args.push(message_id, version);
  return args;
}

type WithOutcome = [code: number, ...RecordFields];

const NOTHING_TO_PUBLISH = { version: 0, outcome: '', retry: '', retry_number: 0 };

/** What is to be published of an answer. */
function outgoing(id: string, [, ...fields]: WithOutcome): typeof NOTHING_TO_PUBLISH {
  const publication = publicationOf(id, fields);
  if (publication === null) return NOTHING_TO_PUBLISH;
  const { confirm: version, outcome, retry, retryNumber } = publication;
  return { version, outcome, retry, retry_number: retryNumber };
}

const EARLY = 5;
type ClaimAnswer = number | [code: typeof EARLY, waitMs: number] | WithOutcome;

function claimResult(id: string, answer: ClaimAnswer): ClaimResult {
  if (typeof answer === 'number') return { code: answer, ...NOTHING_TO_PUBLISH, not_before: '0' };
  const [code, waitMs] = answer;
  if (code === EARLY) return { code, ...NOTHING_TO_PUBLISH, not_before: String(waitMs) };
  return { code, ...outgoing(id, answer as WithOutcome), not_before: '0' };
}

/** Takes each message that is held and due for one submit by `owner`. */
export async function claim({ scripts }: MessageDeps, request: ClaimRequest): Promise<ClaimReply> {
  if (request.owner === '' || request.ttl_ms < 1)
    throw new AppError('invalid_request', 'A claim needs an owner and a ttl.');
  const items = byShard(request.items);
  const published = byShard(request.published);
  const results = new Array<ClaimResult>(request.items.length);
  await allShards(tagsOf(items, published), async (tag) => {
    const shard = items.get(tag) ?? { items: [], places: [] };
    const args: Args = [request.owner, request.ttl_ms, ...publishedArgs(published.get(tag)?.items ?? [])];
    args.push(shard.items.length);
    for (const item of shard.items) {
      args.push(item.message_id, item.attempt, item.claim);
      args.push(item.operator, item.resend_unknown ? 1 : 0, item.unknown_wait_ms);
    }
    const answers = (await scripts.claim(tag, ...args)) as ClaimAnswer[];
    answers.forEach((answer, i) => {
      results[shard.places[i] as number] = claimResult((shard.items[i] as Ref).message_id, answer);
    });
  });
  return { results };
}

const AS_SAID = 2;
type SettleAnswer =
  | number
  | [code: typeof AS_SAID, posted: number, flags: string, decidedAt: number, version: number]
  | WithOutcome;

function settleResult(item: SettleItem, answer: SettleAnswer): SettleResult {
  if (typeof answer === 'number') return { applied: answer === 1, ...NOTHING_TO_PUBLISH };
  if (answer[0] !== AS_SAID) return { applied: answer[0] === 1, ...outgoing(item.message_id, answer as WithOutcome) };
  const [, posted, flags, at, version] = answer as Extract<SettleAnswer, [typeof AS_SAID, ...unknown[]]>;
  const { message_id, attempt, operator, user_id } = item;
  const ids = item.operator_ids.join(ID_SEPARATOR);
  return {
    applied: true,
    ...outgoing(message_id, [1, 'sent', version, attempt, operator, ids, posted, '', flags, at, 0, user_id, 0, '']),
  };
}

const OUTCOMES: ReadonlySet<number> = new Set(Object.values(Outcome));
const SHARE = /^[0-9]{1,15}$/;

function checkSettle({ items }: SettleRequest): void {
  for (const { outcome, amount } of items) {
    if (!OUTCOMES.has(outcome) || !SHARE.test(amount))
      throw new AppError('invalid_request', 'A settlement needs one of the outcomes and an amount.');
  }
}

/** Decides outcomes; each answer is the authoritative one, ready to be published. */
export async function settle({ scripts }: MessageDeps, request: SettleRequest): Promise<SettleReply> {
  checkSettle(request);
  const items = byShard(request.items);
  const published = byShard(request.published);
  const results = new Array<SettleResult>(request.items.length);
  await allShards(tagsOf(items, published), async (tag) => {
    const shard = items.get(tag) ?? { items: [], places: [] };
    const args: Args = [request.owner, ...publishedArgs(published.get(tag)?.items ?? []), shard.items.length];
    for (const item of shard.items) {
      args.push(item.message_id, item.attempt, item.claim, item.outcome, item.operator);
      args.push(item.operator_ids.join(ID_SEPARATOR), item.amount, item.error, item.flags.join(','));
    }
    const answers = (await scripts.settle(tag, ...args)) as SettleAnswer[];
    if (answers.length > 0) failpoint('billing.settle_after_script');
    answers.forEach((answer, i) => {
      results[shard.places[i] as number] = settleResult(shard.items[i] as SettleItem, answer);
    });
  });
  return { results };
}

/** How long a gateway keeps a shard of the outbox for itself; it asks again well before. */
const RELAY_LEASE_MS = 5_000;

/** Hands out messages whose production nobody confirmed, from the shards that `owner` has or gets the lease of. */
export async function relay({ scripts }: MessageDeps, { owner, max }: RelayRequest): Promise<RelayReply> {
  const perShard = Math.max(1, Math.ceil(max / TAGS.length));
  const lists = await Promise.all(TAGS.map((tag) => scripts.relay(tag, owner, RELAY_LEASE_MS, perShard)));
  return { events: lists.flatMap((list) => (list as string[] | null) ?? []) };
}
