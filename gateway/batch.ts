/** Accepting a batch: one hold for all of its messages, and each with its own result. */
import { HoldCode, type HoldGroup, type HoldGroupReply, HoldOutcome } from '../shared/billing.ts';
import { AppError, type ErrorCode, type FieldError, toAppError } from '../shared/error.ts';
import { newId } from '../shared/id.ts';
import {
  type AcceptDeps,
  type Accepted,
  groupOf,
  holdGroup,
  type Prepared,
  prepare,
  refusalOf,
  rememberBacklog,
} from './accept.ts';
import type { SendItem } from './message.ts';

type Refused = { error: { code: ErrorCode; detail: string; errors?: FieldError[] } };
export type ItemResult = Accepted | Refused;
export type BatchAnswer = { batch_id: string; accepted: number; refused: number; results: ItemResult[] };

const asResult = ({ code, message, fields }: AppError): Refused => ({
  error: { code, detail: message, ...(fields.length > 0 ? { errors: [...fields] } : {}) },
});

/** So many different refusals are kept with a key; the fields of further ones are not. They cost nothing, and a day of Redis' memory. */
const DETAILED_MAX = 20;

/** What was refused before the hold, as it is kept with a key: each refusal once, with its places. */
function packRefusals(composed: readonly (Prepared | AppError)[]): string {
  const places = new Map<string, number[]>();
  composed.forEach((entry, place) => {
    if (!(entry instanceof AppError)) return;
    const whole = JSON.stringify(asResult(entry));
    const { code, message } = entry;
    const kept =
      places.has(whole) || places.size < DETAILED_MAX ? whole : JSON.stringify(asResult(new AppError(code, message)));
    const known = places.get(kept);
    if (known) known.push(place);
    else places.set(kept, [place]);
  });
  return `[${[...places].map(([result, at]) => `[${result},[${at}]]`).join()}]`;
}

/**
 * The first results again. Today's rules have no say: they may refuse what was sent, and take what was not.
 * @param answers of those that came to the hold, in their order; '' where the balance did not cover one
 */
function firstResults(count: number, refused: string, answers: readonly string[]): ItemResult[] {
  const results = new Array<ItemResult | undefined>(count).fill(undefined);
  for (const [result, places] of JSON.parse(refused) as [Refused, number[]][])
    for (const place of places) results[place] = result;
  let i = 0;
  return results.map((result): ItemResult => {
    if (result !== undefined) return result;
    const answer = answers[i++] as string;
    return answer === '' ? asResult(refusalOf(HoldCode.INSUFFICIENT)) : JSON.parse(answer);
  });
}

function freshResults(composed: readonly (Prepared | AppError)[], codes: readonly number[]): ItemResult[] {
  let i = 0;
  return composed.map((entry): ItemResult => {
    if (entry instanceof AppError) return asResult(entry);
    const code = codes[i++] as number;
    return code === HoldCode.OK ? entry.answer : asResult(refusalOf(code));
  });
}

/** Each message is composed on its own: what one is refused for is not another's trouble. */
function prepareAll(
  deps: AcceptDeps,
  userId: string,
  items: readonly unknown[],
  check: (item: unknown) => SendItem,
  batchId: string,
) {
  const nowMs = Date.now();
  let ahead = 0;
  return items.map((item): Prepared | AppError => {
    try {
      const prepared = prepare(deps, userId, check(item), nowMs, ahead, batchId);
      ahead += 1;
      return prepared;
    } catch (thrown) {
      const error = toAppError(thrown);
      if (error.code === 'internal') throw error;
      return error;
    }
  });
}

/** Batches are bounded among themselves: however many a customer sends at once, they refuse no one-time password. */
async function holdBatch(deps: AcceptDeps, group: HoldGroup): Promise<HoldGroupReply> {
  const { batches } = deps;
  const count = group.items.length || 1;
  if (batches.inflight > 0 && batches.inflight + count > batches.inflightMax)
    throw new AppError('unavailable', 'Too many batches are on their way at the moment; nothing was charged.');
  batches.inflight += count;
  try {
    return await holdGroup(deps, group, false);
  } finally {
    batches.inflight -= count;
  }
}

/**
 * Accepts up to 1,000 messages of one account in one hold; each has its own result, in order. Throws what the client is told of
 * the whole; `outcome_unknown` carries the batch_id.
 * @param check answers a message that fits the schema, or throws `invalid_request`
 */
export async function acceptBatch(
  deps: AcceptDeps,
  userId: string,
  items: readonly unknown[],
  key: string,
  check: (item: unknown) => SendItem,
): Promise<{ answer: BatchAnswer; replayed: boolean }> {
  const batchId = newId();
  const composed = prepareAll(deps, userId, items, check, batchId);
  const prepared = composed.filter((entry): entry is Prepared => !(entry instanceof AppError));
  // With a key it is asked even where all are refused: the rules may have taken some when the key was first used.
  const refused = key === '' ? '' : packRefusals(composed);
  const reply =
    prepared.length > 0 || key !== ''
      ? await holdBatch(deps, groupOf(userId, key, items, prepared, batchId, refused))
      : null;
  const first = reply?.outcome === HoldOutcome.REPLAYED ? reply : null;
  const results = first
    ? firstResults(items.length, first.refused, first.answers)
    : freshResults(composed, reply?.codes ?? []);
  composed.forEach((entry, place) => {
    // By the id: our own repeated call meets its own key, and its messages still have to be produced; another's are not ours.
    const result = results[place] as ItemResult;
    if (entry instanceof AppError || !('message_id' in result) || result.message_id !== entry.event.id) return;
    deps.production.produce(entry.event, entry.value);
  });
  if (reply && reply.open > 0) rememberBacklog(deps, userId, reply.open);
  const accepted = results.filter((result) => 'message_id' in result).length;
  return {
    answer: { batch_id: first?.batch_id ?? batchId, accepted, refused: results.length - accepted, results },
    replayed: first !== null && first.batch_id !== batchId,
  };
}
